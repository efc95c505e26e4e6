"""What a pooled vector goes through: the modules Dense, LayerNorm and Normalize of sentence-transformers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.encoding.modules import Module, ModuleKind
from mlxd.worker.facts.encoding.values import flag, size
from mlxd.worker.facts.json_document import AGAIN, JsonDocument, is_there
from mlxd.worker.facts.safetensors_file import read_tensor_names

WEIGHTS = "model.safetensors"
_VECTOR, _SCORES = "sentence_embedding", "scores"  # what modules read and write, by sentence-transformers' names


class Activation(StrEnum):
    """What a layer's outputs go through, by the names of PyTorch's classes."""

    NONE = "Identity"
    TANH = "Tanh"
    RELU = "ReLU"
    GELU = "GELU"
    SILU = "SiLU"
    SIGMOID = "Sigmoid"


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer of ``inputs`` to ``outputs``, and what follows it. Its weights are in the file ``weights``; None: among the model's
    own. With a ``residual``, what goes in is added to what comes out.
    """

    inputs: int
    outputs: int
    bias: bool
    activation: Activation
    residual: bool
    weights: Path | None
    writes_scores: bool = False


@dataclass(frozen=True)
class NormLayer:
    """A layer normalisation of vectors of so many numbers."""

    width: int
    weights: Path


Layer = DenseLayer | NormLayer


@dataclass(frozen=True)
class VectorPath:
    """What vectors go through once they are pooled; at its end they may be ``normalized`` to the length 1."""

    layers: tuple[Layer, ...] = ()
    normalized: bool = False

    @property
    def gives_scores(self) -> bool:
        """Tells whether what comes out is no vector, but scores."""
        return any(isinstance(layer, DenseLayer) and layer.writes_scores for layer in self.layers)

    def width(self, pooled: int) -> int:
        """Returns how many numbers come out, where so many go in."""
        outputs = [layer.outputs for layer in self.layers if isinstance(layer, DenseLayer)]
        return outputs[-1] if outputs else pooled


def read_vector_path(modules: Sequence[Module], tensors: frozenset[str]) -> VectorPath:
    """Returns what the modules behind the pooling say; ``tensors`` are those of the model's own files. Raises ``ModelSourceError`` that
    names file and key.
    """
    normalized = bool(modules) and modules[-1].kind is ModuleKind.NORMALIZE
    kept = modules[:-1] if normalized else modules
    return VectorPath(tuple(_layers(kept, tensors)), normalized)


def merged_layers(rows: Mapping[str, int], width: int) -> Iterator[DenseLayer]:
    """Yields the linear layers that are among a model's own weights, as ``dense.0.weight`` and so on, behind vectors of a ``width``.

    ``rows`` has the length of each tensor's first axis: of one that is packed, the second is no width.
    """
    number = 0
    while (outputs := rows.get(f"dense.{number}.weight")) is not None:
        yield DenseLayer(width, outputs, f"dense.{number}.bias" in rows, Activation.NONE, residual=False, weights=None)
        number, width = number + 1, outputs


def _layers(modules: Sequence[Module], tensors: frozenset[str]) -> Iterator[Layer]:
    dense = 0
    for module in modules:
        match module.kind:
            case ModuleKind.DENSE:
                yield _dense(module, f"dense.{dense}.weight" in tensors)
                dense += 1
            case ModuleKind.LAYER_NORM:
                yield NormLayer(size(module.settings(), "dimension"), _weights(module))
            case other:
                raise ModelSourceError(
                    f"{module.directory.parent / 'modules.json'}: the module {other} is in a place that is not known here"
                )


def _dense(module: Module, is_merged: bool) -> DenseLayer:  # noqa: FBT001 - where its weights are
    settings = module.settings()
    reads, writes = settings.text("module_input_name") or _VECTOR, settings.text("module_output_name") or _VECTOR
    if reads != _VECTOR or writes not in (_VECTOR, _SCORES):
        key = "module_input_name" if reads != _VECTOR else "module_output_name"
        raise settings.wrong(key, f'"{_VECTOR}"')
    weights = None if is_merged and not is_there(module.directory / WEIGHTS) else _weights(module)
    layer = DenseLayer(
        size(settings, "in_features"),
        size(settings, "out_features"),
        flag(settings, "bias", default=True),
        _activation(settings),
        flag(settings, "use_residual", default=False),
        weights,
        writes == _SCORES,
    )
    if layer.residual and layer.inputs != layer.outputs:
        raise settings.wrong("use_residual", "false, where in_features and out_features differ")
    return layer


def _activation(settings: JsonDocument) -> Activation:
    """Returns what the class is that the settings name; without a name it is that of sentence-transformers."""
    name = settings.text("activation_function")
    if name is None:
        return Activation.TANH
    known = {str(one): one for one in Activation}.get(name.rpartition(".")[2])
    if known is None or not name.startswith("torch."):
        raise settings.wrong("activation_function", f"a class of torch.nn: {', '.join(Activation)}")
    return known


def _weights(module: Module) -> Path:
    path = module.directory / WEIGHTS
    if not is_there(path):
        others = sorted(one.name for pattern in ("*.bin", "*.npz") for one in module.directory.glob(pattern))
        beside = f"; {others[0]} is not read: convert it to safetensors" if others else f"; {AGAIN}"
        raise ModelSourceError(f"{path} is missing{beside}")
    read_tensor_names(path)
    return path
