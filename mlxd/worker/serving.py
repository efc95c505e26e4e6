"""The worker whose model is ready."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec
from typing_extensions import override

from mlxd.types import CacheFigures, MemoryFigures, ResolvedLimits
from mlxd.wire.jobs import Embed, Generate, Score
from mlxd.wire.messages import (
    Abort,
    CacheEvicted,
    Detokenize,
    EvictCache,
    Heartbeat,
    LoadAdapter,
    Proceed,
    Reconfigure,
    Reconfigured,
    Tokenize,
    UnloadAdapter,
)
from mlxd.worker.adapters.adapter_questions import AdapterQuestions
from mlxd.worker.cache_limit import CacheLimit
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.pin_order import PinOrder
from mlxd.worker.engine.queued import QueuedRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.outbox import Outbox
from mlxd.worker.served import Served
from mlxd.worker.stage import Stage, StageMessage

R = TypeVar("R", bound=QueuedRequest)


class Serving(Stage, Generic[R]):
    """A stage that passes requests on to its sessions, and what concerns the engine to the engine's thread, between two steps.

    ``tell_figures`` sends a heartbeat: what is answered of a change to the cache comes behind the figures that the change made.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # the parts of a worker, put together once
        self,
        engine: Engine[R],
        queue: RequestQueue[R],
        served: Served,
        cache_limit: CacheLimit,
        outbox: Outbox,
        tell_figures: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._sessions = served.sessions
        self._questions = served.questions
        self._pins = served.pins
        self._adapters = served.adapters
        self._adapter_questions = AdapterQuestions(served.adapters, outbox.send, tell_figures)
        self._cache_limit = cache_limit
        self._outbox = outbox
        self._tell_figures = tell_figures

    @override
    def take(self, message: StageMessage) -> None:
        match message:
            case Generate() | Embed() | Score():
                self._sessions.open(message)
            case LoadAdapter() | UnloadAdapter():
                self._adapter_questions.ask(message)
            case Abort(id=request_id):
                self._sessions.abort(request_id)
            case Tokenize() | Detokenize():
                self._questions.ask(message)
            case Reconfigure(limits=limits):
                self._reconfigure(self._cache_limit.resolve(limits))
            case EvictCache():
                self._queue.call(self._evict)
            case Proceed():
                pass  # it has its memory

    @override
    def heartbeat(self, process: MemoryFigures) -> Heartbeat:
        disk = self._engine.cache.disk
        memory = msgspec.structs.replace(
            self._engine.memory,
            rss=process.rss,
            footprint=process.footprint,
            grammars=self._sessions.grammar_bytes,
            disk=disk.queued_bytes if disk is not None else 0,
        )
        return Heartbeat(
            running=self._queue.running,
            waiting=self._queue.waiting,
            steps=self._engine.steps,
            busy_seconds=self._engine.busy_seconds,
            planned_seconds=self._engine.planned_seconds,
            memory=memory,
            cache=self._engine.cache,
            adapters=self._adapters.figures(),
        )

    @override
    def close(self) -> None:
        self._queue.close()
        self._questions.close()
        self._adapter_questions.close()
        self._adapters.close()
        self._sessions.close()

    def _reconfigure(self, limits: ResolvedLimits) -> None:
        self._queue.max_queue = limits.max_queue
        self._sessions.reconfigure(limits)
        self._adapters.reconfigure(limits)
        self._pins.encode(limits.pins, lambda orders: self._queue.call(lambda: self._apply(limits, orders)))

    # ---- on the engine thread ----

    def _apply(self, limits: ResolvedLimits, pins: Sequence[PinOrder]) -> None:
        self._engine.reconfigure(limits)
        self._engine.pin(pins)
        self._queue.capacity = self._engine.capacity
        self._answer(Reconfigured(limits=limits))

    def _evict(self) -> None:
        before = _kept(self._engine.cache)
        entries = self._engine.evict_cached()
        self._answer(CacheEvicted(entries=entries, bytes=before - _kept(self._engine.cache)))

    def _answer(self, message: Reconfigured | CacheEvicted) -> None:
        self._outbox.on_io_thread(self._tell_figures)
        self._outbox.send_from_any_thread(message)


def _kept(cache: CacheFigures) -> int:
    """Returns the bytes that are kept for later requests, with what running ones need of pictures."""
    return cache.bytes_cached + (cache.media.bytes if cache.media else 0)
