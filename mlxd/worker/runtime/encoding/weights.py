"""The weights of a model that encodes: from its files to its modules, not read yet."""

from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.utils import infer_quant_config

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.description import EncodingDescription
from mlxd.worker.facts.json_document import AGAIN
from mlxd.worker.runtime.encoding.architecture import Architecture
from mlxd.worker.runtime.encoding.encoding_model import EncodingModel
from mlxd.worker.runtime.encoding.vector_layers import own_files

_OLD = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # as TensorFlow's checkpoints were converted
_UNUSED = ("head.", "layers.", "encoder.lm_head.")  # of files that have more than the task needs
_SHOWN = 3


def attach_weights(model: EncodingModel, description: EncodingDescription, architecture: Architecture) -> None:
    """Gives the model its weights, quantized where its files have them so. Raises ``ModelSourceError`` that names a tensor that is missing,
    of another shape, or not known.
    """
    directory = description.directory
    found = _renamed(_main(directory), description, architecture)
    for number, path in own_files(description.path.layers):
        found |= {f"layers.{number}.{name}": value for name, value in _read(path)}
    _quantize(model, directory, found)
    wanted = {name: value.shape for name, value in tree_flatten(model.parameters())}
    found = {name: value for name, value in found.items() if name in wanted or not name.startswith(_UNUSED)}
    _check(directory.directory, wanted, found)
    model.load_weights([*found.items()], strict=True)
    model.eval()


def _main(directory: DirectoryFacts) -> dict[str, mx.array]:
    return {_modern(name): value for file in directory.weights.files for name, value in _read(str(directory.directory / file))}


def _read(path: str) -> Iterator[tuple[str, mx.array]]:
    tensors: dict[str, mx.array] = mx.load(path)  # type: ignore[assignment]  # of safetensors it returns these
    yield from tensors.items()


def _modern(name: str) -> str:
    for old, new in _OLD.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _renamed(found: dict[str, mx.array], description: EncodingDescription, architecture: Architecture) -> dict[str, mx.array]:
    """Returns a model's own weights by their names here. Linear layers behind the pooling may be among them."""
    merged = {name: value for name, value in found.items() if name.startswith("dense.")}
    own = architecture.weights({name: value for name, value in found.items() if name not in merged}, description.directory.config)
    for name, value in merged.items():
        _, number, rest = name.split(".", 2)
        own[f"layers.{number}.linear.{rest.removeprefix('linear.')}"] = value
    return own


def _quantize(model: nn.Module, directory: DirectoryFacts, found: dict[str, mx.array]) -> None:
    """Makes the layers quantized ones whose weights are. Of each, the weights say how: the configuration may call it by another name."""
    quantization = directory.config.part("quantization")
    if quantization is None:
        return

    def settings(path: str, module: nn.Module) -> bool | dict[str, object]:
        if not hasattr(module, "to_quantized") or f"{path}.scales" not in found:
            return False
        return dict(infer_quant_config(path, module, found))

    nn.quantize(model, quantization.count("group_size"), quantization.count("bits"), class_predicate=settings)


def _check(directory: Path, wanted: dict[str, tuple[int, ...]], found: dict[str, mx.array]) -> None:
    missing, others = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise ModelSourceError(f"{directory}: the weights lack {_named(missing)}; {AGAIN}")
    if others:
        raise ModelSourceError(f"{directory}: the weights hold {_named(others)}, which the architecture of config.json does not have")
    for name, shape in wanted.items():
        if found[name].shape != shape:
            raise ModelSourceError(f"{directory}: the weight {name} has the shape {found[name].shape}; by config.json it is {shape}")


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
