"""The adapters of a configuration whose files are on this machine, looked at before any model is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlxd.config.given_names import Asked
from mlxd.config.schema import Config
from mlxd.config.source import is_local
from mlxd.terminal.examination import examine


@dataclass(frozen=True)
class ExaminedFiles:
    """The files of one adapter: what they say, or the ``error`` for which no model could use them."""

    asked: Asked
    said: str
    error: str | None


def examine_adapters(config: Config) -> Iterator[ExaminedFiles]:
    """Yields what there is to say of each adapter that is a directory here. They are read by a process of their own, as a worker would.
    Raises ``MlxdError`` if that dies.
    """
    local = {
        Asked(name, adapter): table.source
        for name, model in config.models.items()
        for adapter, table in model.adapters.items()
        if is_local(table.source)
    }
    if not local:
        return
    every = examine("mlxd.worker.examine_adapters", list(local.values()), next(iter(local.values())))
    for asked, found in zip(local, every, strict=True):
        yield ExaminedFiles(asked, "" if "error" in found else _said(found), found.get("error"))


def _said(found: dict[str, Any]) -> str:
    return f"{found['format']}, {found['layers']} layers of rank {found['rank']} at most, scale {found['scale']:g}"
