"""Values in a model's files that libraries would only stumble over: checked here, where the file and the key can be named."""

import math
from collections.abc import Iterator

from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.facts.sources import Sources

_TEXTS = ("tokenizer_class", "chat_template_type", "tool_parser_type")
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_LISTS = ("additional_special_tokens", "extra_special_tokens")
_ROTARY = ("rope_scaling", "rope_parameters")
_STRETCHING = ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "rope_theta")
_TOKENIZER_FILES = ("added_tokens.json", "hf_quant_config.json")  # JSON objects, whatever is in them


def check_values(sources: Sources) -> None:
    """Raises ``ModelSourceError`` that names file and key of the first value that cannot be."""
    for name in _TOKENIZER_FILES:
        JsonDocument.read_if_there(sources.directory / name)
    for part in sources.configurations():
        _check_finite(part)
        _check_rotary(part)
    _check_quantization(sources.config)
    _check_architectures(sources.config)
    _check_tokenizer(sources.tokenizer)
    _check_special_tokens(sources.tokenizer)
    _check_special_tokens(sources.special_tokens)


def _check_finite(part: JsonDocument) -> None:
    """JSON has no such numbers, but Python reads and writes them; within lists they are in use, as limits that are none."""
    for key, value in part.values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise part.wrong(key, "a finite number")


def _check_rotary(part: JsonDocument) -> None:
    """A model whose positions are stretched by nothing, or endlessly, computes nonsense."""
    for key in _ROTARY:
        if isinstance(part.get(key), dict) and (rotary := part.part(key)):
            _check_stretching(rotary)


def _check_stretching(rotary: JsonDocument) -> None:
    for key, value in rotary.values.items():
        if key in _STRETCHING and value is not None and not _is_positive(value):
            raise rotary.wrong(key, "a number above zero")
        if isinstance(value, dict) and (kind_of_layer := rotary.part(key)):
            _check_stretching(kind_of_layer)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _check_quantization(config: JsonDocument) -> None:
    quantization = config.part("quantization")
    if quantization is not None:
        for key in ("group_size", "bits"):
            if quantization.count(key) is None:
                raise quantization.wrong(key, "a whole number above zero")
        return
    other = config.part("quantization_config")
    if other is not None and other.text("quant_method") is None and other.get("quantization") is None:
        raise other.wrong("quant_method", "the name of a method")


def _check_architectures(config: JsonDocument) -> None:
    value = config.get("architectures")
    if not (value is None or isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))):
        raise config.wrong("architectures", "a list of names")


def _check_tokenizer(tokenizer: JsonDocument) -> None:
    for key in _TEXTS:
        tokenizer.text(key)
    length = tokenizer.get("model_max_length")
    if length is not None and (isinstance(length, bool) or not isinstance(length, int | float)):
        raise tokenizer.wrong("model_max_length", "a number")
    if (decoder := tokenizer.part("added_tokens_decoder")) is not None:
        for key, value in decoder.values.items():
            if not key.isdecimal() or not _is_token(value):
                raise decoder.wrong(key, 'a token under its id: an object with its "content"')


def _check_special_tokens(document: JsonDocument) -> None:
    for key, value in document.values.items():
        if key in _NAMED and value is not None and not _is_token(value):
            raise document.wrong(key, "a string or an object")
    for key in _LISTS:
        if not all(map(_is_token, _entries(document, key))):
            raise document.wrong(key, "a list of tokens")


def _entries(document: JsonDocument, key: str) -> Iterator[object]:
    value = document.get(key)
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
    elif value is not None:
        yield None


def _is_token(value: object) -> bool:
    """Tells whether a value is a string, or an object that describes a token."""
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("content"), str))
