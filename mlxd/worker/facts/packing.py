"""Do the weights look as the configuration says that they were packed? A library that unpacks what is not packed fails without a word."""

from collections.abc import Iterator

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.json_document import AGAIN, JsonDocument
from mlxd.worker.facts.sources import Sources
from mlxd.worker.facts.weights import Weights

# Of each method that mlx-lm unpacks itself, how the tensors are called that only packed weights have.
_PACKED = {"awq": ".qweight", "gptq": ".qweight", "bitnet": ".weight_scale"}


def check_packing(sources: Sources, weights: Weights) -> None:
    """Raises ``ModelSourceError`` where the configuration names a method by which no tensor is packed."""
    for quantization in _quantizations(sources):
        method = quantization.text("quant_method")
        ending = _PACKED.get(method or "")
        if ending is not None and not any(tensor.endswith(ending) for tensor in weights.tensors):
            raise ModelSourceError(
                f'{quantization.path}: "{quantization.prefix}quant_method" is "{method}", but the weights are not packed so: '
                f"no tensor's name ends in {ending}; remove the key if they are plain, or {AGAIN}"
            )


def _quantizations(sources: Sources) -> Iterator[JsonDocument]:
    """Yields what mlx-lm goes by: MLX's own kind of quantization comes first, and then nothing else counts."""
    if sources.config.part("quantization") is not None:
        return
    for part in (sources.config, sources.config.part("text_config")):
        if part is not None and (quantization := part.part("quantization_config")) is not None:
            yield quantization
