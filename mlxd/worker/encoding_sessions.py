"""The requests of a worker whose model encodes, on its I/O thread: from texts to tokens, and from vectors and scores to wire events."""

import asyncio
import logging
import struct
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from typing_extensions import override

from mlxd.errors import GenerationError, MlxdError
from mlxd.types import Limits, Timings, Usage
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import Embedded, Failed, Finished, RequestEvent, Scored, Started
from mlxd.wire.jobs import Embed, Job, Score
from mlxd.wire.messages import Events
from mlxd.worker.encoding_requests import EncodingRequests, texts_of
from mlxd.worker.engine.encoding.packed_inputs import PackedInputs
from mlxd.worker.engine.encoding.request import EncodingRequest
from mlxd.worker.engine.events import Encoded, Ended, EngineEvent, PromptScored, StepOutput
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.sampled import Sampled
from mlxd.worker.entrance import Entrance
from mlxd.worker.job_sessions import JobSessions

_TOGETHER = 32  # texts that are tokenized before those of another request have their turn

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Session:
    """A request that is not over."""

    job: Embed | Score
    tokens: int


class EncodingSessions(JobSessions):
    """The requests of a worker whose model encodes. ``send`` is called on the I/O thread."""

    def __init__(self, requests: EncodingRequests, queue: RequestQueue[EncodingRequest], send: Callable[[Events], None]) -> None:
        self._requests = requests
        self._queue = queue
        self._send = send
        self._open: dict[str, _Session] = {}
        self._entrance = Entrance(queue, self._refused, "texts")
        # Our own, and never waited for: a loop's default pool would hold up the end of the process.
        self.tokenizing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenize")

    @override
    def open(self, job: Job) -> None:
        arrived = time.monotonic()
        try:
            known = self._requests.check(job)
            self._entrance.enter(job.id, lambda: self._tokenize(known, arrived))
        except MlxdError as error:
            self._fail(job.id, error)

    @override
    def abort(self, request_id: str) -> None:
        self._entrance.give_up(request_id)  # thousands of texts may still be tokenized
        self._open.pop(request_id, None)
        self._queue.withdraw(request_id)

    @override
    def deliver(self, output: StepOutput) -> None:
        events = [told for event in output.events for told in self._try(event, output.timings)]
        if events or output.stats is not None:
            self._send(Events(events=events, step=output.stats))

    @override
    def reconfigure(self, limits: Limits) -> None:
        """Changes nothing: vectors come when they are computed."""

    @override
    def close(self) -> None:
        self._entrance.close()
        self.tokenizing.shutdown(wait=False, cancel_futures=True)

    def _refused(self, request_id: str, error: MlxdError) -> None:
        self._open.pop(request_id, None)
        self._fail(request_id, error)

    async def _tokenize(self, job: Embed | Score, arrived: float) -> None:
        """Queues the request once its texts are tokens: some of them at a time, so that others have their turns."""
        run = asyncio.get_running_loop().run_in_executor
        inputs = PackedInputs()
        while len(inputs) < len(texts_of(job)):
            inputs.extend(await run(self.tokenizing, self._requests.encode, job, len(inputs), len(inputs) + _TOGETHER))
        request = self._requests.request(job, inputs, arrived)
        self._open[job.id] = _Session(job, request.tokens)
        if not self._queue.put(request):
            del self._open[job.id]  # aborted meanwhile

    def _try(self, event: EngineEvent, timings: Mapping[str, Timings]) -> list[RequestEvent]:
        """Returns what is told of an event. A fault ends the request that it is about, and costs the others of its step nothing."""
        is_open = event.id in self._open
        try:
            return self._tell(event, timings)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, it is told to one client
            _log.exception("what became of request %s could not be told", event.id)
            self.abort(event.id)
            failure = GenerationError(f"what became of this request could not be told: {type(error).__name__}: {error}")
            return [Failed(id=event.id, error=ErrorInfo.of(failure))] if is_open else []

    def _tell(self, event: EngineEvent, timings: Mapping[str, Timings]) -> list[RequestEvent]:
        session = self._open.get(event.id)
        if session is None:  # aborted
            return []
        match event:
            case Started():
                return [event]
            case Encoded():
                return [_values(session.job, event)]
            case Ended(reason=reason):
                del self._open[event.id]
                usage = Usage(prompt_tokens=session.tokens, completion_tokens=0, cached_tokens=0)
                return [Finished(id=event.id, parts=[], tokens=0, reason=reason, usage=usage, timings=timings[event.id])]
            case Failed():
                del self._open[event.id]
                return [event]
            case PromptScored() | Sampled():
                return []  # nothing that encodes says so

    def _fail(self, request_id: str, error: MlxdError) -> None:
        self._send(Events(events=[Failed(id=request_id, error=ErrorInfo.of(error))]))


def _values(job: Embed | Score, event: Encoded) -> Embedded | Scored:
    places = list(event.places)
    if isinstance(job, Embed):
        return Embedded(id=event.id, places=places, vectors=event.values)
    return Scored(id=event.id, places=places, scores=list(struct.unpack(f"<{len(places)}f", event.values)))
