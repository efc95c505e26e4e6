"""The models of a configuration whose files are on this machine, looked at before any is loaded."""

import json
from dataclasses import dataclass

from mlxd.config.keys import Key
from mlxd.config.model_sources import ModelSource, model_sources
from mlxd.config.schema import Config, ModelTable
from mlxd.config.source import is_local
from mlxd.terminal.examination import examine


@dataclass(frozen=True)
class ExaminedModel:
    """The files of a model, or of its draft model: the ``task`` that they are for, or the ``error`` for which no worker could load them.
    ``key`` is the one of the configuration that names them, or has to change.
    """

    model: str
    key: Key
    is_draft: bool
    directory: str
    task: str | None
    error: str | None


def examine_models(config: Config) -> list[ExaminedModel]:
    """Returns what there is to say of each model that is a directory here. They are read by a process of their own, as a worker would.
    Raises ``MlxdError`` if that dies.
    """
    local = [(name, model, one) for name, model in config.models.items() for one in model_sources(model) if is_local(one.source)]
    if not local:
        return []
    every = examine("mlxd.worker.examine_models", [_asked(model, one) for _, model, one in local], local[0][2].source)
    return [_examined(name, one, found) for (name, _, one), found in zip(local, every, strict=True)]


def _asked(model: ModelTable, one: ModelSource) -> str:
    if _is_draft(one):
        return json.dumps({"directory": one.source, "task": "generate"})
    task = None if model.task == "auto" else model.task
    return json.dumps({"directory": one.source, "task": task, "context_length": model.context_length})


def _examined(name: str, one: ModelSource, found: dict[str, str]) -> ExaminedModel:
    field = found.get("field", "source")
    key: Key = ("models", name, *(one.field.split(".") if field == "source" else (field,)))
    return ExaminedModel(name, key, _is_draft(one), one.source, found.get("task"), found.get("error"))


def _is_draft(one: ModelSource) -> bool:
    return one.field != "source"
