"""Models of mlx-vlm, from a directory. Nobody imports this for a model of text: it takes what the extra "vision" brings.

mlx-vlm's own ``load_model`` is not called: it rewrites the headers of weights in place while it reads some.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_vlm.utils import get_model_and_args, load_model_weights, sanitize_weights, update_module_configs

from mlxd.worker.runtime.vision.architectures import ARCHITECTURES
from mlxd.worker.runtime.vision.configuration import readable
from mlxd.worker.runtime.vision.seeing_model import SeeingModel

_PARTS = ("text", "vision")


def load_seeing_model(view: Path, config: Mapping[str, Any]) -> SeeingModel:
    """Returns the model in a directory of one of the known architectures, whose ``config.json`` says ``config``, its weights not read
    yet. Raises whatever mlx-vlm raises.
    """
    values = readable(config)  # a copy: mlx-vlm writes into it what it goes by later
    weights = _weights(sorted(view.glob("*.safetensors")))
    package, _ = get_model_and_args(values)
    settings = package.ModelConfig.from_dict(values)
    settings = update_module_configs(settings, package, values, _PARTS)
    model = package.Model(settings)
    weights = sanitize_weights(model, weights)
    for kind, part in ((package.VisionModel, settings.vision_config), (package.LanguageModel, settings.text_config)):
        weights = sanitize_weights(kind, weights, part) if _reads_alone(kind) else weights
    load_model_weights(model, values, weights, view, lazy=True)
    return SeeingModel(model, ARCHITECTURES[values["model_type"]])


def _weights(files: Iterable[Path]) -> dict[str, mx.array]:
    found: dict[str, mx.array] = {}
    for file in files:
        found.update(mx.load(str(file)))  # type: ignore[arg-type]  # of safetensors it returns these
    return found


def _reads_alone(kind: type) -> bool:
    return hasattr(kind, "sanitize")
