"""``config.json`` as mlx-vlm reads it. Transformers 5 writes some of it another way, which mlx-vlm refuses or, worse, passes over: without
``rope_theta`` it rotates by a base of its own.
"""

import copy
from collections.abc import Mapping
from typing import Any

Settings = dict[str, Any]

_LLAMA_BASE = 10000.0  # of transformers, where a configuration leaves it out; mlx-vlm's Idefics3 would take another
_SIGLIP_EPSILON = 1e-6  # as well, where mlx-vlm's LLaVA would take that of CLIP
_OF_WORDS = {"tie_word_embeddings", "mm_tokens_per_image"}  # which mlx-vlm looks for there, and configurations say for the whole model
_FLAT = ("qwen2_vl", "qwen2_5_vl")  # which have the settings of words at the top, where mlx-vlm looks for them


class UnreadableSettingError(ValueError):
    """A setting asks for what mlx-vlm's model does not do."""


def readable(config: Mapping[str, Any]) -> Settings:
    """Returns a copy in the form of the first releases of each architecture. What is in that form already stays as it is.

    Raises ``UnreadableSettingError`` for layers whose order mlx-vlm cannot be told.
    """
    values: Settings = copy.deepcopy(dict(config))
    words = values["text_config"] = values.get("text_config") or {}
    sight = values["vision_config"] = values.get("vision_config") or {}
    _write_rotation(words)
    if words.get("model_type") == "gemma3_text":
        _write_windows(words)
    if words.get("model_type") == "llama":
        words.setdefault("rope_theta", _LLAMA_BASE)
    if sight.get("model_type") == "siglip_vision_model":
        sight.setdefault("layer_norm_eps", _SIGLIP_EPSILON)
    if values["model_type"] == "llava" and sight.get("model_type") == "pixtral":
        values["model_type"] = "pixtral"  # whose tower mlx-vlm looks for under this name only
    if str(values["model_type"]).startswith("qwen"):
        sight["model_type"] = values["model_type"]
    for name in _OF_WORDS & values.keys() if words else ():
        words.setdefault(name, values[name])
    if values["model_type"] in _FLAT:
        values |= {name: value for name, value in words.items() if name not in values}
    return values


def _write_rotation(words: Settings) -> None:
    """Writes what ``rope_parameters`` says where it was before: ``rope_theta``, and ``rope_scaling`` if there is any."""
    parameters = words.get("rope_parameters")
    if not isinstance(parameters, dict):
        return
    everywhere = parameters.get("full_attention", parameters)
    if window := parameters.get("sliding_attention"):
        words["rope_local_base_freq"] = window["rope_theta"]
    if "rope_theta" in everywhere:
        words["rope_theta"] = everywhere["rope_theta"]
    others = {name: value for name, value in everywhere.items() if name not in ("rope_theta", "rope_type", "type")}
    kind = everywhere.get("rope_type", everywhere.get("type", "default"))
    if others or kind != "default":
        words["rope_scaling"] = others | {"type": kind, "rope_type": kind}


def _write_windows(words: Settings) -> None:
    """Writes what mlx-vlm's Gemma 3 has names of its own for: the base of layers without a window, and how many layers there are from one
    of these to the next, for it knows no list.
    """
    if "rope_theta" in words:
        words["rope_global_base_freq"] = words["rope_theta"]
    kinds = words.get("layer_types")
    if not kinds or "full_attention" not in kinds:
        return
    period = kinds.index("full_attention") + 1
    if any((kind == "full_attention") != (number % period == 0) for number, kind in enumerate(kinds, 1)):
        raise UnreadableSettingError(f'config.json "layer_types": {kinds} do not come again every {period} layers')
    words["sliding_window_pattern"] = period
