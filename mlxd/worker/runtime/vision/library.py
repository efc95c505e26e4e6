"""Which library's class a model is made of: mlx-lm's, or, of a model that sees, mlx-vlm's."""

from dataclasses import dataclass
from importlib.util import find_spec

from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.library_errors import in_a_line
from mlxd.worker.runtime.vision.architectures import ARCHITECTURES
from mlxd.worker.runtime.vision.foreign_settings import foreign_setting

INSTALL = 'pip install "mlxd[vision]" && pip install --no-deps mlx-vlm==0.7.10'
_NEEDED = ("mlx_vlm", "PIL", "requests")


@dataclass(frozen=True)
class ModelLibrary:
    """The library, by its name, and where that comes from. ``warning`` says why a model that could see is loaded as one of text."""

    name: str
    origin: str
    warning: str | None = None

    @classmethod
    def of(cls, config: JsonDocument) -> "ModelLibrary":
        """Returns that of a model with this ``config.json``."""
        kind = config.get("model_type")
        if config.part("vision_config") is None:
            return cls("mlx-lm", f'{config.path.name} has no "vision_config"')
        if kind not in ARCHITECTURES:
            return cls("mlx-lm", f'"model_type": "{kind}" is served as a model of text', _unknown(str(kind)))
        missing = [name for name in _NEEDED if find_spec(name) is None]
        if missing:
            return cls("mlx-lm", f"{' and '.join(missing)} cannot be imported", _missing(missing))
        if config.part("quantization") is None and config.part("quantization_config") is not None:
            return cls("mlx-lm", f'{config.path.name} "quantization_config"', _PACKED)
        if (foreign := foreign_setting(config.values)) is not None:
            return cls("mlx-lm", f"{config.path.name} {foreign}", f"it sees no pictures: {config.path.name} says {foreign}")
        return cls("mlx-vlm", f'{config.path.name} "vision_config"')

    def instead(self, error: Exception) -> "ModelLibrary":
        """Returns mlx-lm, in the place of this one, which raised ``error`` when it was to load the model."""
        told = in_a_line(error)
        return ModelLibrary("mlx-lm", f"{self.name} cannot load it", f"it sees no pictures, for {self.name} cannot load it ({told})")


_PACKED = (
    'it sees no pictures: its weights are packed by "quantization_config" in config.json; '
    "take weights that are plain, or quantized by mlx-vlm"
)


def _unknown(kind: str) -> str:
    return f'it sees no pictures: "model_type": "{kind}" is none of {", ".join(sorted(ARCHITECTURES))}'


def _missing(names: list[str]) -> str:
    return f"it sees no pictures, for {' and '.join(names)} cannot be imported: {INSTALL}"
