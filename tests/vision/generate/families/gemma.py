"""Gemma 3: a picture attends to itself both ways; most layers look back a few tokens only."""

from collections.abc import Callable

from tests.vision.generate import templates
from tests.vision.generate.families.architecture import HALF, Architecture, Settings
from tests.vision.generate.vocabularies import Vocabulary

SIDE, PATCH, TOKENS = 32, 4, 16
EDGES: Settings = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
VOCABULARY = Vocabulary(
    pieces=True,
    first=("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"),
    specials=("<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
    bos="<bos>",
)


def _config(token: Callable[[str], int], size: int) -> Settings:
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "boi_token_index": token("<start_of_image>"),
        "eoi_token_index": token("<end_of_image>"),
        "image_token_index": token("<image_soft_token>"),
        "eos_token_id": [token("<eos>"), token("<end_of_turn>")],
        "initializer_range": 0.02,
        "mm_tokens_per_image": TOKENS,
        "text_config": {
            "model_type": "gemma3_text",
            "head_dim": 8,
            "hidden_size": 36,  # its root, by which embeddings are multiplied, is the same in every type of numbers
            "intermediate_size": 64,
            "max_position_embeddings": 4096,
            "mm_tokens_per_image": TOKENS,  # where mlx-vlm looks for it; transformers reads that of the whole model
            "num_attention_heads": 4,
            "num_hidden_layers": 4,
            "num_key_value_heads": 2,
            "query_pre_attn_scalar": 12,  # not the size of a head, as in the largest
            "rope_local_base_freq": 10.0,
            "rope_theta": 30.0,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 24,  # a picture, its edges and a few words
            "sliding_window_pattern": 2,
            "vocab_size": size,
        },
        "torch_dtype": "float32",
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 16,
            "image_size": SIDE,
            "intermediate_size": 32,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "patch_size": PATCH,
            "vision_use_head": False,
        },
    }


GEMMA3 = Architecture(
    name="gemma3",
    vocabulary=VOCABULARY,
    template=templates.GEMMA,
    tokenizer={
        "tokenizer_class": "GemmaTokenizer",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        **EDGES,
        "extra_special_tokens": EDGES,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
        "processor_class": "Gemma3Processor",
    },
    config=_config,
    files={
        "preprocessor_config.json": {
            "do_convert_rgb": None,
            "do_normalize": True,
            "do_pan_and_scan": None,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": HALF,
            "image_std": HALF,
            "image_processor_type": "Gemma3ImageProcessor",
            "image_seq_length": TOKENS,
            "pan_and_scan_max_num_crops": None,
            "pan_and_scan_min_crop_size": None,
            "pan_and_scan_min_ratio_to_activate": None,
            "processor_class": "Gemma3Processor",
            "resample": 2,
            "rescale_factor": 1 / 255,
            "size": {"height": SIDE, "width": SIDE},
        },
        "processor_config.json": {"image_seq_length": TOKENS, "processor_class": "Gemma3Processor"},
    },
)
