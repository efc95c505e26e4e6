"""The adapters of one worker that are to be loaded before anybody asks for them: which are, and why others cannot be."""

import asyncio
from collections.abc import Callable, Iterable

import msgspec
import structlog

from mlxd.adapter_terms import AdapterFigures, AdapterSpec, AdapterState
from mlxd.client.worker_client import WorkerClient
from mlxd.errors import MlxdError, WorkerLostError
from mlxd.types import Limits

_log = structlog.get_logger(__name__)


class EagerAdapters:
    """What became of each, asked of the ``client`` once. ``changed`` is called when that is known."""

    def __init__(self, model: str, client: WorkerClient, changed: Callable[[], None]) -> None:
        self._model = model
        self._client = client
        self._changed = changed
        self._known: dict[AdapterSpec, str | None] = {}  # why it cannot be loaded; None: it is
        self._room: tuple[int, frozenset[str]] = (0, frozenset())  # the bytes that all may take, and those that stay
        self._tasks: dict[AdapterSpec, asyncio.Task[None]] = {}

    def want(self, limits: Limits) -> None:
        """Has those of a worker's ``limits`` loaded that are eager, and forgets all others. What was wrong with one is found out anew when
        it is configured again, all may take more or less than they might, or others are pinned.
        """
        wanted = _eager(limits.adapters)
        before, self._room = self._room, (limits.adapter_bytes, frozenset(one.name for one in limits.adapters if one.pin))
        is_same = self._room == before
        self._known = {spec: trouble for spec, trouble in self._known.items() if spec in wanted and (is_same or trouble is None)}
        for spec in self._tasks.keys() - wanted:
            self._tasks.pop(spec).cancel()
        for spec in wanted - self._known.keys() - self._tasks.keys():
            self._tasks[spec] = asyncio.create_task(self._load(spec), name=f"load {self._model}:{spec.name}")

    def is_settled(self, specs: Iterable[AdapterSpec]) -> bool:
        """Tells whether it is known of each of ``specs`` that is eager what became of it."""
        return _eager(specs) <= self._known.keys()

    def refused(self, figures: Iterable[AdapterFigures]) -> str | None:
        """Says which cannot be loaded, and why; None where all can. By its ``figures`` one may have been loaded since, which settles it."""
        loaded = {one.name for one in figures if one.state is AdapterState.LOADED}
        self._known = {spec: None if spec.name in loaded else trouble for spec, trouble in self._known.items()}
        troubles = {spec.name: trouble for spec, trouble in self._known.items() if trouble is not None}
        return "; ".join(f"adapters.{name}: {trouble}" for name, trouble in sorted(troubles.items())) or None

    def stop(self) -> None:
        """Waits for none any more."""
        for task in self._tasks.values():
            task.cancel()

    async def _load(self, spec: AdapterSpec) -> None:
        try:
            await self._client.load_adapter(spec.name)
        except WorkerLostError:  # the next worker is asked for it
            return
        except MlxdError as error:
            _log.error("adapter_load_failed", model=self._model, adapter=spec.name, reason=error.message)
            self._known[spec] = error.message
        else:
            self._known[spec] = None
        self._tasks.pop(spec, None)
        self._changed()


def _eager(specs: Iterable[AdapterSpec]) -> set[AdapterSpec]:
    """Returns those that are eager; that one is pinned or not is no reason to load it again."""
    return {msgspec.structs.replace(spec, pin=False) for spec in specs if spec.load == "eager"}
