"""The architectures of which vectors or scores can be made here, by the types of models that configurations name."""

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.json_document import JsonDocument

ARCHITECTURES = (
    "bert",
    "camembert",
    "distilbert",
    "gemma3_text",
    "llama",
    "mistral",
    "modernbert",
    "mpnet",
    "nomic_bert",
    "qwen2",
    "qwen3",
    "roberta",
    "xlm-roberta",
)


def check_architecture(config: JsonDocument) -> None:
    """Raises ``ModelSourceError`` for an architecture that is not known, and for weights that are packed in another way than MLX's."""
    if config.get("model_type") not in ARCHITECTURES:
        raise config.wrong("model_type", f"one of {', '.join(ARCHITECTURES)}: of others no vectors or scores can be made here")
    other = config.part("quantization_config")
    if config.part("quantization") is None and other is not None:
        raise ModelSourceError(
            f'{config.path}: the weights are packed by "{other.get("quant_method")}"; of models that encode, only MLX\'s own '
            'quantization is read ("quantization")'
        )
