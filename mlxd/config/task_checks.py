"""What is set for a model that is told to encode, and only means something where text is generated."""

from collections.abc import Collection, Iterator

from mlxd.config.document import Document
from mlxd.config.keys import Key, dotted
from mlxd.config.problems import Problem, shown
from mlxd.config.schema import Config, ModelTable

_TABLES = ("cache", "speculation", "sampling", "input", "output")
_FIELDS: tuple[Key, ...] = (
    ("adapters",),
    ("adapter_memory",),
    ("batching", "attention"),
    ("batching", "compile"),
    ("batching", "stream_interval"),
)


def check_tasks(config: Config, document: Document) -> Iterator[Problem]:
    """Reports what a model's own table says of generation where its task is another. What all models inherit is passed over by those that
    have no use for it.
    """
    for name, model in config.models.items():
        if not model.encodes:
            continue
        task: Key = ("models", name, "task")
        for key in generation_keys(name, document):
            text = f"set, which is of models that generate; with task = {shown(model.task)} remove it"
            yield Problem(key, text, (key, task))


def generation_keys(name: str, document: Document) -> tuple[Key, ...]:
    """Returns the keys of a model's own table that only mean something where text is generated."""
    return tuple(dict.fromkeys(_of_generation(name, document)))


def unused_keys(model: ModelTable, tasks: Collection[str]) -> tuple[Key, ...]:
    """Returns the keys of a model's own table that do nothing, where its files say that the model is for these tasks."""
    return () if "generate" in tasks else model.of_generation


def unused(key: Key) -> str:
    """Says of one of them that it does nothing, and what to do."""
    return f"{dotted(key)}: set, which is of models that generate, and this one does not: it does nothing; remove it"


def _of_generation(name: str, document: Document) -> Iterator[Key]:
    for key in document.lines:
        own = key[2:]
        if key[:2] != ("models", name) or not own:
            continue
        if own[0] in _TABLES and len(own) > 1:
            yield key[:4]
        elif field := next((field for field in _FIELDS if own[: len(field)] == field), None):
            yield ("models", name, *field)
