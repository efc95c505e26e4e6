"""How the daemon is, in one line for people: what ``systemctl status`` shows."""

from collections import Counter
from collections.abc import Sequence

from mlxd.config.address import Address
from mlxd.control.model.status import ModelStatus
from mlxd.types import ModelState

_WORTH_TELLING = (ModelState.LOADING, ModelState.FAILED, ModelState.DRAINING)  # beside those that are ready


def status_line(models: Sequence[ModelStatus], addresses: Sequence[Address], problems: Sequence[str]) -> str:
    """Returns the line of a running daemon; ``problems`` say why the file as it is now is not what runs."""
    parts = [_models(models)]
    if addresses:
        parts.append(f"serving on {', '.join(map(str, addresses))}")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        parts.append(f"the configuration file is not what runs: {problems[0]}{more}")
    return "; ".join(parts)


def draining_line(models: Sequence[ModelStatus]) -> str:
    """Returns the line of a daemon that stops."""
    unfinished = sum(model.running + model.waiting for model in models)
    return f"stopping; {unfinished} request{'' if unfinished == 1 else 's'} to finish"


def _models(models: Sequence[ModelStatus]) -> str:
    count = Counter(model.state for model in models)
    others = [f"{count[state]} {state.value}" for state in _WORTH_TELLING if count[state]]
    return ", ".join([f"{count[ModelState.READY]} of {len(models)} model{'' if len(models) == 1 else 's'} ready", *others])
