"""LLaVA 1.5, LLaVA-Interleave, Pixtral and Mistral Small 3.1: a vision tower before a language model, joined by a small network."""

from collections.abc import Callable

from tests.vision.generate import templates
from tests.vision.generate.families.architecture import CLIP_MEAN, CLIP_STD, HALF, ROPE_THETA, Architecture, Settings
from tests.vision.generate.vocabularies import Vocabulary

PATCH = 4
CLIP_SIDE, PIXTRAL_SIDE, MISTRAL_SIDE = 16, 20, 32
TEKKEN = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")


def _text(model_type: str, size: int) -> Settings:
    return {
        "model_type": model_type,
        "hidden_act": "silu",
        "hidden_size": 32,
        "intermediate_size": 64,
        "max_position_embeddings": 4096,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_theta": ROPE_THETA,
        "torch_dtype": "float32",
        "vocab_size": size,
    }


def _llava(token: Callable[[str], int], size: int, end: str = "</s>", padding: str = "<pad>") -> Settings:
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "ignore_index": -100,
        "image_token_index": token("<image>"),
        "eos_token_id": token(end),
        "pad_token_id": token(padding),
        "projector_hidden_act": "gelu",
        "text_config": _text("llama", size) | {"tie_word_embeddings": False},
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 16,
            "image_size": CLIP_SIDE,
            "intermediate_size": 32,
            "num_attention_heads": 2,
            "num_hidden_layers": 3,
            "patch_size": PATCH,
            "projection_dim": 16,
            "vocab_size": size,
        },
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "vocab_size": size,
    }


def _llava_interleave(token: Callable[[str], int], size: int) -> Settings:
    """SigLIP, which has no token of its own before the patches, and Qwen2, whose embeddings are its head."""
    settings = _llava(token, size, "<|im_end|>", "<|endoftext|>") | {
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "tie_word_embeddings": True,
    }
    words = _text("qwen2", size) | {"rms_norm_eps": 1e-06, "tie_word_embeddings": True, "use_sliding_window": False}
    tower = settings["vision_config"] | {"model_type": "siglip_vision_model", "vision_use_head": False}
    return settings | {
        "text_config": words,
        "vision_config": {name: value for name, value in tower.items() if name not in ("projection_dim", "vocab_size")},
    }


def _tower(side: int) -> Settings:
    return {
        "model_type": "pixtral",
        "attention_dropout": 0.0,
        "head_dim": 8,
        "hidden_act": "silu",
        "hidden_size": 16,
        "image_size": side,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_channels": 3,
        "num_hidden_layers": 2,
        "patch_size": PATCH,
        "rope_theta": 10000.0,
    }


def _pixtral(token: Callable[[str], int], size: int) -> Settings:
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "pixtral",
        "ignore_index": -100,
        "image_token_index": token("[IMG]"),
        "eos_token_id": token("</s>"),
        "projector_hidden_act": "gelu",
        "text_config": _text("mistral", size) | {"head_dim": 16, "sliding_window": None, "tie_word_embeddings": False},
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "vision_config": _tower(PIXTRAL_SIDE),
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
    }


def _mistral3(token: Callable[[str], int], size: int) -> Settings:
    return {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "model_type": "mistral3",
        "image_token_index": token("[IMG]"),
        "eos_token_id": token("</s>"),
        "multimodal_projector_bias": False,
        "projector_hidden_act": "gelu",
        "spatial_merge_size": 2,
        "text_config": _text("mistral", size)
        | {"attention_dropout": 0.0, "head_dim": 16, "sliding_window": None, "tie_word_embeddings": False},
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "vision_config": _tower(MISTRAL_SIDE),
        "vision_feature_layer": -1,
    }


def _pixtral_files(side: int, merge: int) -> dict[str, Settings]:
    return {
        "preprocessor_config.json": {
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": CLIP_MEAN,
            "image_std": CLIP_STD,
            "image_processor_type": "PixtralImageProcessor",
            "patch_size": {"height": PATCH, "width": PATCH},
            "processor_class": "PixtralProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"longest_edge": side},
        },
        "processor_config.json": {
            "image_break_token": "[IMG_BREAK]",
            "image_end_token": "[IMG_END]",
            "image_token": "[IMG]",
            "patch_size": PATCH,
            "processor_class": "PixtralProcessor",
            "spatial_merge_size": merge,
        },
    }


MISTRAL_VOCABULARY = Vocabulary(first=TEKKEN, specials=(), bos="<s>")
MISTRAL_TOKENIZER: Settings = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "clean_up_tokenization_spaces": False,
    "model_max_length": 4096,
    "processor_class": "PixtralProcessor",
}

LLAVA = Architecture(
    name="llava",
    vocabulary=Vocabulary(pieces=True, leading_space=True, first=("<unk>", "<s>", "</s>"), specials=("<image>", "<pad>"), bos="<s>"),
    template=templates.LLAVA,
    tokenizer={
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "image_token": "<image>",
        "extra_special_tokens": {"image_token": "<image>"},
        "legacy": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
        "processor_class": "LlavaProcessor",
    },
    config=_llava,
    files={
        "preprocessor_config.json": {
            "crop_size": {"height": CLIP_SIDE, "width": CLIP_SIDE},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": CLIP_MEAN,
            "image_std": CLIP_STD,
            "image_processor_type": "CLIPImageProcessor",
            "processor_class": "LlavaProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"shortest_edge": CLIP_SIDE},
        },
        "processor_config.json": {
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": PATCH,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "default",
        },
    },
)
PIXTRAL = Architecture(
    name="pixtral",
    vocabulary=MISTRAL_VOCABULARY,
    template=templates.PIXTRAL,
    tokenizer=MISTRAL_TOKENIZER,
    config=_pixtral,
    files=_pixtral_files(PIXTRAL_SIDE, 1),
    transformers_type="llava",
)
MISTRAL3 = Architecture(
    name="mistral3",
    vocabulary=MISTRAL_VOCABULARY,
    template=templates.MISTRAL,
    tokenizer=MISTRAL_TOKENIZER,
    config=_mistral3,
    files=_pixtral_files(MISTRAL_SIDE, 2),
)
INTERLEAVE = Architecture(
    name="llava_interleave",
    vocabulary=Vocabulary(specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>")),
    template=templates.CHATML_LLAVA,
    tokenizer={
        "tokenizer_class": "Qwen2Tokenizer",
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
        "processor_class": "LlavaProcessor",
    },
    config=_llava_interleave,
    files={
        "preprocessor_config.json": {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": HALF,
            "image_std": HALF,
            "image_processor_type": "SiglipImageProcessor",
            "processor_class": "LlavaProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"height": CLIP_SIDE, "width": CLIP_SIDE},
        },
        "processor_config.json": {
            "image_token": "<image>",
            "num_additional_image_tokens": 0,
            "patch_size": PATCH,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "full",
        },
    },
)
