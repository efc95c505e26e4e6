"""The architectures that are known, by the types of models that configurations name."""

from mlxd.worker.facts.encoding.architectures import check_architecture
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.encoding.architecture import Architecture
from mlxd.worker.runtime.encoding.architectures.bert import Bert, DistilBert, MpNet, Roberta
from mlxd.worker.runtime.encoding.architectures.decoder import Decoder
from mlxd.worker.runtime.encoding.architectures.gemma import Gemma
from mlxd.worker.runtime.encoding.architectures.modernbert import ModernBert
from mlxd.worker.runtime.encoding.architectures.nomic_bert import NomicBert

KNOWN: dict[str, Architecture] = {
    "bert": Bert(),
    "camembert": Roberta(),
    "distilbert": DistilBert(),
    "gemma3_text": Gemma(),
    "llama": Decoder(),
    "mistral": Decoder(),
    "modernbert": ModernBert(),
    "mpnet": MpNet(),
    "nomic_bert": NomicBert(),
    "qwen2": Decoder(),
    "qwen3": Decoder(),
    "roberta": Roberta(),
    "xlm-roberta": Roberta(),
}


def architecture_for(config: JsonDocument) -> Architecture:
    """Returns the architecture of a configuration. Raises ``ModelSourceError`` that names those that are known, and for weights that are
    packed in another way than MLX's.
    """
    check_architecture(config)
    return KNOWN[str(config.get("model_type"))]
