"""Whether a model does what an endpoint is for."""

from mlxd.api.keys import Models, ReadyModel
from mlxd.errors import UnsupportedTaskError
from mlxd.types import Task

_DOES = {Task.GENERATE: "generates text", Task.EMBED: "makes vectors of texts", Task.RERANK: "scores texts"}


def check_task(task: Task, model: ReadyModel, models: Models) -> None:
    """Raises ``UnsupportedTaskError`` for a model that does not do the task. It names those of ``models`` that are known to do it."""
    if task in model.ready.tasks:
        return
    others = [status.name for status in models.statuses() if task in (status.tasks or ())]
    instead = f"; ask for {' or '.join(others)}" if others else f"; no model that {_DOES[task]} is known here"
    does = " and ".join(_DOES[one] for one in model.ready.tasks)
    raise UnsupportedTaskError(f"the model {model.name!r} {does}; this endpoint is for one that {_DOES[task]}{instead}", param="model")
