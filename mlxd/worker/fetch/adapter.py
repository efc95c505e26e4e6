"""From an adapter's source, as the configuration names it, to a directory with its files."""

from pathlib import Path

from mlxd.errors import AdapterSourceError
from mlxd.types import LoadStage
from mlxd.worker.facts.adapters.directory import PATTERNS, read_adapter
from mlxd.worker.fetch.hub import HubModel, SnapshotKind, download_snapshot, obtain_snapshot
from mlxd.worker.fetch.resolve import LOCAL

_ADAPTER = SnapshotKind(tuple(PATTERNS), read_adapter)


def fetch_adapter(source: str, *, anew: bool) -> Path:
    """Returns the directory of the adapter at ``source``: ``org/name[@revision]``, or a path that begins with ``/``, ``./``, ``../`` or
    ``~``. What is on disk already is used without a network, unless the hub is to be asked ``anew``.

    Raises ``ModelSourceError``.
    """
    if source.startswith(LOCAL):
        try:
            return Path(source).expanduser().absolute()
        except RuntimeError as error:
            raise AdapterSourceError(f"{source}: {error}") from error
    return (download_snapshot if anew else obtain_snapshot)(HubModel.parse(source), _quietly, _ADAPTER)


def _quietly(stage: LoadStage, done: int, total: int) -> None:
    """Takes what nobody is told: the model serves meanwhile."""
