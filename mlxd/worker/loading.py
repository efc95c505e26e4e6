"""The worker before its model is ready."""

import threading
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from mlxd.errors import MlxdError, ModelLoadingError, ModelSourceError, ModelUnreachableError
from mlxd.lasting_imports import lasting_imports
from mlxd.types import LoadStage, MemoryFigures
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import Failed
from mlxd.wire.jobs import Embed, Generate, Score
from mlxd.wire.messages import (
    Abort,
    AdapterRefused,
    CacheEvicted,
    Detokenize,
    Events,
    EvictCache,
    Heartbeat,
    Load,
    LoadAdapter,
    LoadFailed,
    LogRecord,
    NeedsMemory,
    Proceed,
    Progress,
    Ready,
    Reconfigure,
    Tokenize,
    UnloadAdapter,
    Unreadable,
)
from mlxd.worker.cache_limit import CacheLimit
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.events import StepOutput
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.runner import Runner
from mlxd.worker.outbox import Outbox
from mlxd.worker.served import serve
from mlxd.worker.serving import Serving
from mlxd.worker.stage import Stage, StageMessage

_ENDING = 4.5  # seconds
EX_LOAD_FAILED = 1
EX_ENGINE_DIED = 70


class Loading(Stage):
    """A stage that loads in the engine's thread, which goes on to serve. ``become`` is told the stage that follows, ``end`` the exit code
    when that thread ends, and ``tell_figures`` sends a heartbeat of the present stage; all on the I/O thread.

    Requests are refused, new limits kept until there is something they apply to, and there is no cache to evict.
    """

    def __init__(
        self, outbox: Outbox, become: Callable[[Stage], None], end: Callable[[int], None], tell_figures: Callable[[], None]
    ) -> None:
        self._outbox = outbox
        self._become = become
        self._end = end
        self._tell_figures = tell_figures
        self._begun = False
        self._cache_limit = CacheLimit()
        self._queue: RequestQueue[Any] = RequestQueue(max_queue=0)  # of requests of the model's task, whichever that is
        self._may_load = threading.Event()
        self._granted: int | None = None  # bytes for its cache; set before it may load
        self._kept: list[Reconfigure] = []
        self._thread: threading.Thread | None = None
        self._runner: Runner[Any] | None = None

    def begin(self, order: Load) -> bool:
        """Begins to load, and returns True; False where it has begun before."""
        if self._begun:
            return False
        self._begun = True
        self._queue.max_queue = order.limits.max_queue
        self._thread = threading.Thread(target=self._engine_thread, args=(order,), name="engine", daemon=True)
        self._thread.start()
        return True

    def wait_ended(self) -> None:
        """Waits for the engine's thread, whose stage is closed, where that has something to write before it ends; for no longer than the
        daemon waits.
        """
        if self._thread is not None and self._runner is not None and self._runner.is_lasting:
            self._thread.join(_ENDING)

    @override
    def take(self, message: StageMessage) -> None:
        match message:
            case Proceed(cache_bytes=granted):
                self._granted = granted
                self._may_load.set()
            case Generate(id=request_id) | Embed(id=request_id) | Score(id=request_id):
                self._outbox.send(Events(events=[Failed(id=request_id, error=_still_loading())]))
            case Tokenize(id=question_id) | Detokenize(id=question_id):
                self._outbox.send(Unreadable(id=question_id, error=_still_loading()))
            case LoadAdapter(id=question_id) | UnloadAdapter(id=question_id):
                self._outbox.send(AdapterRefused(id=question_id, error=_still_loading()))
            case Abort():
                pass  # what it was about has been refused
            case Reconfigure():
                self._kept.append(message)
            case EvictCache():
                self._outbox.send(CacheEvicted(entries=0, bytes=0))

    @override
    def heartbeat(self, process: MemoryFigures) -> Heartbeat:
        return Heartbeat(running=0, waiting=0, steps=0, busy_seconds=0.0, memory=process)

    @override
    def close(self) -> None:
        self._queue.close()

    # ---- on the engine thread ----

    def _engine_thread(self, order: Load) -> None:
        try:
            code = 0 if self._load_and_run(order) else EX_LOAD_FAILED
        except Exception as error:  # noqa: BLE001 - the thread's last resort: the process ends and says why
            self._outbox.send_from_any_thread(LogRecord(level="error", event="engine_died", fields={"error": repr(error)}))
            code = EX_ENGINE_DIED
        self._outbox.on_io_thread(lambda: self._end(code))

    def _load_and_run(self, order: Load) -> bool:
        try:
            with lasting_imports():
                from mlxd.worker.runtime.start import start_model  # imports MLX: on this thread, and after OpenBLAS

            model = start_model(order, self._cache_limit.resolve(order.limits), self._tell_progress, self._wait_for_memory)
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the operator must read it
            self._outbox.send_from_any_thread(LoadFailed(error=_load_error(order.source, error)))
            return False
        self._queue.capacity = model.runner.capacity
        self._runner = model.runner
        served = serve(order, model, self._queue, self._outbox)

        def emit(output: StepOutput) -> None:
            self._outbox.on_io_thread(lambda: served.sessions.deliver(output))

        engine = Engine(model.runner, self._queue, emit, model.memory)
        engine.pin(served.pins.begin(order.limits.pins))
        serving = Serving(engine, self._queue, served, self._cache_limit, self._outbox, self._tell_figures)
        self._outbox.on_io_thread(lambda: self._ready(serving, model.ready))
        engine.run()
        return True

    def _tell_progress(self, stage: LoadStage, done: int, total: int) -> None:
        self._outbox.send_from_any_thread(Progress(stage=stage, done=done, total=total))

    def _wait_for_memory(self, needs: NeedsMemory) -> int:
        """Waits for as long as it takes: a daemon that has none ends this process. Returns the bytes of cache it may have."""
        self._outbox.send_from_any_thread(needs)
        self._may_load.wait()
        return needs.cache if self._granted is None else self._granted

    # ---- back on the I/O thread ----

    def _ready(self, serving: Stage, ready: Ready) -> None:
        self._become(serving)
        self._outbox.send(ready)
        for message in self._kept:
            serving.take(message)


def _still_loading() -> ErrorInfo:
    return ErrorInfo.of(ModelLoadingError("the model is loading", retry_after=1.0))


def _load_error(source: str, error: Exception) -> ErrorInfo:
    known = error if isinstance(error, MlxdError) else _of_library(f"loading {source} failed: {type(error).__name__}: {error}", error)
    return ErrorInfo.of(known)


def _of_library(message: str, error: Exception) -> MlxdError:
    """Makes a typed error of a library's. A disk that fails and memory that is short may pass; everything else is the model's."""
    if isinstance(error, OSError):
        return ModelUnreachableError(message)
    return MlxdError(message) if isinstance(error, MemoryError) else ModelSourceError(message)
