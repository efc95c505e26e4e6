"""Settings of a model that sees which mlx-vlm does not look at: with another value than what it computes, its answers would not be the
model's, and nothing else would tell.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_SILU, _TANH, _QUICK = "silu", "gelu_pytorch_tanh", "quick_gelu"
_SAME = {"swish": _SILU, "gelu_new": _TANH, "gelu_fast": _TANH, "gelu_python_tanh": _TANH}
_OF_TOWERS = {"clip_vision_model": _QUICK, "siglip_vision_model": _TANH, "pixtral": _SILU}  # by the tower's own type
_OF_MODELS = {"qwen2_vl": _QUICK, "qwen2_5_vl": _SILU, "qwen3_vl": _TANH, "idefics3": _TANH, "smolvlm": _TANH}
_UNSTRETCHED = ("idefics3", "smolvlm")  # whose rotation mlx-vlm never stretches


def foreign_setting(config: Mapping[str, Any]) -> str | None:
    """Returns the first setting of ``config.json`` that asks for something else than mlx-vlm computes, as it is written there."""
    return next(_foreign(config), None)


def _foreign(config: Mapping[str, Any]) -> Iterator[str]:
    kind = str(config.get("model_type"))
    words, tower = (_part(config, name) for name in ("text_config", "vision_config"))
    expected = _OF_TOWERS.get(str(tower.get("model_type"))) or _OF_MODELS.get(kind)
    yield from _another(tower, "vision_config.", "hidden_act", expected)
    yield from _another(words, "text_config.", "hidden_act", _SILU)
    yield from _another(words, "text_config.", "hidden_activation", _TANH)
    yield from _another(config, "", "projector_hidden_act", "gelu")
    if kind in _UNSTRETCHED:
        for name in ("rope_scaling", "rope_parameters"):
            part = _part(words, name)
            yield from _another(part, f"text_config.{name}.", "rope_type" if "rope_type" in part else "type", "default")


def _another(part: Mapping[str, Any], place: str, name: str, expected: str | None) -> Iterator[str]:
    said = part.get(name)
    if expected is not None and isinstance(said, str) and _SAME.get(said, said) != expected:
        yield f'"{place}{name}": "{said}", where mlx-vlm computes {expected}'


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = config.get(name)
    return part if isinstance(part, Mapping) else {}
