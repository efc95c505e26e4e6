"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: positions of three axes, pictures of any size, videos."""

from collections.abc import Callable

from tests.vision.generate import templates
from tests.vision.generate.families.architecture import CLIP_MEAN, CLIP_STD, HALF, ROPE_THETA, Architecture, Settings
from tests.vision.generate.vocabularies import Vocabulary

PATCH, MERGE, FRAMES = 4, 2, 2  # pixels, patches, and frames that become one
VOCABULARY = Vocabulary(
    specials=(
        *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
        *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
    )
)
TOKENIZER: Settings = {
    "tokenizer_class": "Qwen2Tokenizer",
    "bos_token": None,
    "eos_token": "<|im_end|>",
    "pad_token": "<|endoftext|>",
    "unk_token": None,
    "add_prefix_space": False,
    "clean_up_tokenization_spaces": False,
    "model_max_length": 4096,
    "errors": "replace",
    "split_special_tokens": False,
}
PATCHES: Settings = {"patch_size": PATCH, "temporal_patch_size": FRAMES, "merge_size": MERGE}


def _tokens(token: Callable[[str], int]) -> Settings:
    return {
        "bos_token_id": token("<|endoftext|>"),
        "eos_token_id": token("<|im_end|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
        "vision_token_id": token("<|vision_pad|>"),
        "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
    }


def _text(size: int) -> Settings:
    return {
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "max_position_embeddings": 4096,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": ROPE_THETA,
        "use_cache": True,
        "vocab_size": size,
    }


def _flat(token: Callable[[str], int], size: int) -> Settings:
    """What the first two releases have at the top level of their configuration, which knows no part for words."""
    return {
        **_tokens(token),
        **_text(size),
        "max_window_layers": 2,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]},
        "sliding_window": 4096,
        "torch_dtype": "float32",
        "use_sliding_window": False,
    }


def _qwen2_vl(token: Callable[[str], int], size: int) -> Settings:
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        **_flat(token, size),
        "tie_word_embeddings": False,
        "vision_config": {
            "depth": 2,
            "embed_dim": 16,
            "mlp_ratio": 2,
            "num_heads": 2,
            "in_chans": 3,
            "hidden_size": 32,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "spatial_patch_size": PATCH,
            "temporal_patch_size": FRAMES,
        },
    }


def _qwen2_5_vl(token: Callable[[str], int], size: int) -> Settings:
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        **_flat(token, size),
        "tie_word_embeddings": True,
        "vision_config": {
            "depth": 2,
            "hidden_act": "silu",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "in_chans": 3,
            "out_hidden_size": 32,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "spatial_patch_size": PATCH,
            "window_size": 16,  # two tokens, so that a picture has several windows, and some that are not full
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
            "temporal_patch_size": FRAMES,
        },
    }


def _qwen3_vl(token: Callable[[str], int], size: int) -> Settings:
    tokens = _tokens(token)
    del tokens["vision_token_id"]
    ends = {name: tokens.pop(name) for name in ("bos_token_id", "eos_token_id")}
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        **tokens,
        "text_config": {
            "model_type": "qwen3_vl_text",
            **ends,
            **_text(size),
            "attention_bias": False,
            "dtype": "float32",
            "head_dim": 16,
            "num_hidden_layers": 3,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": [4, 2, 2], "rope_type": "default"},
            "tie_word_embeddings": True,
        },
        "tie_word_embeddings": True,
        "vision_config": {
            "model_type": "qwen3_vl",
            "deepstack_visual_indexes": [0, 1],
            "depth": 3,
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_size": 16,
            "in_channels": 3,
            "initializer_range": 0.02,
            "intermediate_size": 32,
            "num_heads": 2,
            "num_position_embeddings": 36,  # a square of six, which every picture stretches
            "out_hidden_size": 32,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": FRAMES,
        },
    }


def _pictures(processor: str) -> Settings:
    return {
        "min_pixels": 256,
        "max_pixels": 1536,
        **PATCHES,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": processor,
    }


QWEN2_VL = Architecture(
    name="qwen2_vl",
    vocabulary=VOCABULARY,
    template=templates.CHATML,
    tokenizer=TOKENIZER | {"processor_class": "Qwen2VLProcessor"},
    config=_qwen2_vl,
    files={"preprocessor_config.json": _pictures("Qwen2VLProcessor")},
    videos=True,
)
QWEN2_5_VL = Architecture(
    name="qwen2_5_vl",
    vocabulary=VOCABULARY,
    template=templates.CHATML,
    tokenizer=TOKENIZER | {"processor_class": "Qwen2_5_VLProcessor"},
    config=_qwen2_5_vl,
    files={"preprocessor_config.json": _pictures("Qwen2_5_VLProcessor")},
    videos=True,
)
_PLAIN: Settings = {**PATCHES, "image_mean": HALF, "image_std": HALF, "processor_class": "Qwen3VLProcessor"}
QWEN3_VL = Architecture(
    name="qwen3_vl",
    vocabulary=VOCABULARY,
    template=templates.CHATML_PLAIN,
    tokenizer=TOKENIZER | {"processor_class": "Qwen3VLProcessor"},
    config=_qwen3_vl,
    files={
        "preprocessor_config.json": _PLAIN
        | {"size": {"longest_edge": 1536, "shortest_edge": 256}, "image_processor_type": "Qwen2VLImageProcessorFast"},
        "video_preprocessor_config.json": _PLAIN
        | {"size": {"longest_edge": 8192, "shortest_edge": 1024}, "video_processor_type": "Qwen3VLVideoProcessor"},
    },
    videos=True,
)
