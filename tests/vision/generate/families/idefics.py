"""Idefics3 and SmolVLM: a picture is cut into tiles, each a few tokens, with a small one of the whole behind them."""

from collections.abc import Callable

from tests.vision.generate import templates
from tests.vision.generate.families.architecture import HALF, ROPE_THETA, Architecture, Settings
from tests.vision.generate.vocabularies import Vocabulary

SIDE, PATCH, SCALE = 16, 4, 2
TOKENS = (SIDE // PATCH // SCALE) ** 2
FRAME = ("<fake_token_around_image>", "<image>", "<end_of_utterance>")
PLACES = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))


def _text(size: int) -> Settings:
    return {
        "model_type": "llama",
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
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "hidden_act": "silu",
    }


def _config(architecture: str, model_type: str, end: str) -> Callable[[Callable[[str], int], int], Settings]:
    def config(token: Callable[[str], int], size: int) -> Settings:
        ends = {"bos_token_id": token(end), "eos_token_id": token("<end_of_utterance>"), "pad_token_id": token(end)}
        return {
            "architectures": [architecture],
            "model_type": model_type,
            "image_token_id": token("<image>"),
            "eos_token_id": token("<end_of_utterance>"),
            "scale_factor": SCALE,
            "text_config": _text(size) | ends,
            "tie_word_embeddings": False,
            "torch_dtype": "float32",
            "use_cache": True,
            "vision_config": {
                "model_type": f"{model_type}_vision" if model_type == "smolvlm" else model_type,
                "hidden_size": 16,
                "image_size": SIDE,
                "intermediate_size": 32,
                "num_attention_heads": 2,
                "num_hidden_layers": 2,
                "patch_size": PATCH,
                "max_image_size": {"longest_edge": SIDE},
                "size": {"longest_edge": 2 * SIDE},
            },
            "vocab_size": size,
        }

    return config


def _files(processor: str, pictures: str, **others: Settings) -> dict[str, Settings]:
    return {
        "preprocessor_config.json": {
            "do_convert_rgb": True,
            "do_image_splitting": True,
            "do_normalize": True,
            "do_pad": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": HALF,
            "image_std": HALF,
            "image_processor_type": pictures,
            "max_image_size": {"longest_edge": SIDE},
            "processor_class": processor,
            "resample": 1,
            "rescale_factor": 1 / 255,
            "size": {"longest_edge": 2 * SIDE},
        },
        "processor_config.json": {"image_seq_len": TOKENS, "processor_class": processor},
        **others,
    }


def _tokenizer(kind: str, first: str, processor: str) -> Settings:
    return {
        "tokenizer_class": kind,
        "bos_token": first,
        "eos_token": "<end_of_utterance>",
        "pad_token": first,
        "unk_token": None,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
        "processor_class": processor,
    }


IDEFICS3 = Architecture(
    name="idefics3",
    # The names of tiles are words: no tokens of their own.
    vocabulary=Vocabulary(specials=("<|begin_of_text|>", "<|end_of_text|>", *FRAME), merges=60, bos="<|begin_of_text|>"),
    template=templates.IDEFICS3,
    tokenizer=_tokenizer("PreTrainedTokenizerFast", "<|begin_of_text|>", "Idefics3Processor"),
    config=_config("Idefics3ForConditionalGeneration", "idefics3", "<|begin_of_text|>"),
    files=_files("Idefics3Processor", "Idefics3ImageProcessor"),
)
SMOLVLM = Architecture(
    name="smolvlm",
    vocabulary=Vocabulary(first=("<|endoftext|>", "<|im_start|>", "<|im_end|>"), specials=(*PLACES, "<global-img>", *FRAME)),
    template=templates.SMOLVLM,
    tokenizer=_tokenizer("GPT2Tokenizer", "<|im_start|>", "SmolVLMProcessor"),
    config=_config("SmolVLMForConditionalGeneration", "smolvlm", "<|im_start|>"),
    files=_files("SmolVLMProcessor", "SmolVLMImageProcessor"),
)
