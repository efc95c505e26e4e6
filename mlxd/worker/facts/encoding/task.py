"""What a model can be asked for, by what its files say."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlxd.types import Task
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.modules import FILE, Module, ModuleKind, read_modules
from mlxd.worker.facts.json_document import JsonDocument

LIBRARY_FILE = "config_sentence_transformers.json"
CLASSIFIES = "ForSequenceClassification"
_KINDS = {"SentenceTransformer": Task.EMBED, "CrossEncoder": Task.RERANK}  # of what sentence-transformers saves

# Types of models that answer nothing, by their names in transformers. Not all of them can be read here; none can generate.
ENCODERS = frozenset(
    (
        "bert",
        "roberta",
        "xlm-roberta",
        "camembert",
        "distilbert",
        "modernbert",
        "nomic_bert",
        "mpnet",
        "electra",
        "deberta-v2",
        "albert",
        "new",
    )
)

DECODERS = frozenset(("qwen3", "qwen2", "llama", "mistral", "gemma3_text"))  # types that generate, of which models are saved that embed


@dataclass(frozen=True)
class FoundTask:
    """What a model is for, and who says so, for people."""

    task: Task
    origin: str


def find_task(directory: DirectoryFacts, wished: Task | None = None) -> FoundTask:
    """Returns what is ``wished``, or else what the files say; a model of which they say nothing generates. Raises ``ModelSourceError`` for
    what is no task here.
    """
    if wished is not None:
        return FoundTask(wished, f'task = "{wished}"')
    config = directory.config
    modules = read_modules(directory.directory)
    if modules:
        return _of_modules(modules, config, JsonDocument.read_if_there(directory.directory / LIBRARY_FILE))
    return _of_configuration(config)


def architecture_of(config: JsonDocument) -> str:
    """Returns the first architecture that a configuration names, which is the one that was saved; empty where it names none."""
    value = config.get("architectures")
    names = [value] if isinstance(value, str) else value
    return str(names[0]) if isinstance(names, list) and names else ""


def _of_configuration(config: JsonDocument) -> FoundTask:
    architecture, kind = architecture_of(config), config.get("model_type")
    origin = f"{config.origin('architectures')}: {architecture or 'none'}"
    if config.get("classifier_from_token") is not None:
        return FoundTask(Task.RERANK, config.origin("classifier_from_token"))
    if architecture.endswith(CLASSIFIES):
        return FoundTask(Task.RERANK, origin)
    if config.get("use_bidirectional_attention") is True:
        return FoundTask(Task.EMBED, config.origin("use_bidirectional_attention"))
    if kind in ENCODERS:
        return FoundTask(Task.EMBED, f"{config.origin('model_type')}: {kind}")
    has_no_head = kind in DECODERS and architecture.endswith("Model")
    return FoundTask(Task.EMBED if has_no_head else Task.GENERATE, origin)


def _of_modules(modules: Sequence[Module], config: JsonDocument, library: JsonDocument) -> FoundTask:
    kind = library.text("model_type")
    if kind is not None and kind not in _KINDS:
        raise library.wrong("model_type", f"one of {', '.join(_KINDS)}")
    if any(module.kind is ModuleKind.LOGIT_SCORE for module in modules):
        return FoundTask(Task.RERANK, f"{FILE}: {ModuleKind.LOGIT_SCORE}")
    if kind is not None:
        return FoundTask(_KINDS[kind], library.origin("model_type"))
    if architecture_of(config).endswith(CLASSIFIES) and len(modules) == 1:
        return FoundTask(Task.RERANK, f"{config.origin('architectures')}: {architecture_of(config)}")
    return FoundTask(Task.EMBED, FILE)
