"""``python -m mlxd.worker.examine_models MODEL…``: what models' files say, for ``mlxd validate``, in a process of its own.

Each argument is a JSON object: ``{"directory", "task", "context_length"}``, of which the last two may be null. Standard output carries one
JSON object for each, in their order: ``{"task"}``, or ``{"error", "field"}`` where a worker could not load what is there, by
the field of the configuration that has to change. Whether tensors are those of the architecture is found out when they are loaded.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import Tokenizer

from mlxd.errors import ConfigError, ModelSourceError
from mlxd.types import Task
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.architectures import check_architecture
from mlxd.worker.facts.encoding.description import EncodingDescription
from mlxd.worker.facts.encoding.longest import wished_longest
from mlxd.worker.facts.encoding.task import find_task
from mlxd.worker.facts.json_document import AGAIN


class AskedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's directory, and what its table says that decides whether it can be loaded."""

    directory: str
    task: Task | None = None  # None: what the files show
    context_length: int | None = None


def main(arguments: list[str]) -> int:
    """Examines each of the models, and returns the exit code."""
    for argument in arguments:
        sys.stdout.write(msgspec.json.encode(_examined(msgspec.json.decode(argument, type=AskedModel))).decode() + "\n")
    return 0


def _examined(asked: AskedModel) -> dict[str, Any]:
    try:
        task = _task(asked)
    except ConfigError as error:
        return {"error": error.message, "field": "context_length"}
    except ModelSourceError as error:
        return {"error": error.message, "field": "source"}
    except Exception as error:  # noqa: BLE001 - whatever it is, the other models are looked at, too
        return {"error": f"{asked.directory} cannot be looked at: {type(error).__name__}: {error}", "field": "source"}
    return {"task": task}


def _task(asked: AskedModel) -> Task:
    """Reads what a worker reads before any library does, in its order, and returns the task that the files are for."""
    directory = DirectoryFacts.read(Path(asked.directory))
    task = find_task(directory, asked.task).task
    if task is Task.GENERATE:
        directory.context.wished(asked.context_length)
        return task
    description = EncodingDescription.read(directory, task)
    wished_longest(directory, description.context, asked.context_length)
    check_architecture(directory.config)
    _check_tokenizer(directory.directory / "tokenizer.json")
    return task


def _check_tokenizer(path: Path) -> None:
    """Opens the tokenizer where its file is of the library by which texts are encoded; others are converted when they are loaded."""
    if not path.exists():
        return
    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelSourceError(f"{path} is no tokenizer: {error}; {AGAIN}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
