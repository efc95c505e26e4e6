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
    of_generation = generation_keys(document)
    for name, model in config.models.items():
        if not model.encodes:
            continue
        task: Key = ("models", name, "task")
        for key in of_generation.get(name, ()):
            text = f"set, which is of models that generate; with task = {shown(model.task)} remove it"
            yield Problem(key, text, (key, task))


def generation_keys(document: Document) -> dict[str, tuple[Key, ...]]:
    """Returns by model the keys of its own table that only mean something where text is generated; models without any are not in it."""
    found: dict[str, dict[Key, None]] = {}  # as a set that keeps the order
    for written in document.lines:
        if written[:1] == ("models",) and (key := _of_generation(written)) is not None:
            found.setdefault(str(written[1]), {})[key] = None
    return {name: tuple(keys) for name, keys in found.items()}


def unused_keys(model: ModelTable, tasks: Collection[str]) -> tuple[Key, ...]:
    """Returns the keys of a model's own table that do nothing, where its files say that the model is for these tasks."""
    return () if "generate" in tasks else model.of_generation


def unused(key: Key) -> str:
    """Says of one of them that it does nothing, and what to do."""
    return f"{dotted(key)}: set, which is of models that generate, and this one does not: it does nothing; remove it"


def _of_generation(key: Key) -> Key | None:
    """Returns the setting of generation that a key of a model is, or lies in."""
    own = key[2:]
    if own[:1] and own[0] in _TABLES:
        return key[:4] if len(own) > 1 else None
    field = next((field for field in _FIELDS if own[: len(field)] == field), None)
    return None if field is None else (*key[:2], *field)
