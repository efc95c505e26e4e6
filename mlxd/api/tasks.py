"""Whether a model does what an endpoint is for."""

from collections.abc import Sequence

from mlxd.api.keys import Models, ReadyModel
from mlxd.control.model.status import ModelStatus
from mlxd.errors import UnsupportedTaskError
from mlxd.types import Task

_DOES = {Task.GENERATE: "generates text", Task.EMBED: "makes vectors of texts", Task.RERANK: "scores texts"}


def check_task(task: Task, model: ReadyModel, models: Models) -> None:
    """Raises ``UnsupportedTaskError`` for a model that does not do the task. It names those of ``models`` that are known to do it."""
    if task in model.ready.tasks:
        return
    instead = _instead(task, list(models.statuses()))
    does = " and ".join(_DOES[one] for one in model.ready.tasks)
    raise UnsupportedTaskError(f"the model {model.name!r} {does}; this endpoint is for one that {_DOES[task]}; {instead}", param="model")


def _instead(task: Task, statuses: Sequence[ModelStatus]) -> str:
    known = [status.name for status in statuses if task in (status.tasks or ())]
    if known:
        return f"ask for {' or '.join(known)}"
    unknown = [status.name for status in statuses if status.tasks is None]
    return f"of what is not loaded, {' or '.join(unknown)} may be one" if unknown else f"no model that {_DOES[task]} is known here"
