"""From a worker's events to an HTTP answer, whole or streamed, in whatever shape an API wants it.

However it ends, the worker is told: leaving ``with ChoiceEvents(...)`` before the end aborts every job that is not over. A client that
goes away cancels its handler (``listener/server.py``), and that leaves the block.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

import structlog
from aiohttp import web

from mlxd.api.answer import AnswerBuilder
from mlxd.api.choice_events import ChoiceEvent, ChoiceEvents
from mlxd.api.deadline import Deadline
from mlxd.api.dialect import AnswerShape
from mlxd.api.jobs import Jobs
from mlxd.api.keys import SPENDING, TELEMETRY
from mlxd.api.sse import SseEvent, SseWriter, with_ticks
from mlxd.api.trace import RequestTrace
from mlxd.client.worker_client import WorkerClient
from mlxd.errors import MlxdError, SlowClientError
from mlxd.listener.errors import internal_error
from mlxd.types import Usage
from mlxd.wire.events import Started

log = structlog.get_logger(__name__)

CACHE_HEADER = "x-mlxd-cache"


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a ready model makes of a request: who works on what, and how the answer is written."""

    client: WorkerClient
    jobs: Jobs
    shape: AnswerShape


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A request on its way through a worker. ``assign`` waits until its model is ready, which may take as long as loading does."""

    request: web.Request
    assign: Callable[[], Awaitable[Assignment]]
    early_failure: Callable[[MlxdError], Iterable[SseEvent]]  # what a stream says that fails before anything is assigned
    sign_of_life: SseEvent | None
    trace: RequestTrace
    deadline: Deadline

    async def whole(self) -> web.Response:
        """Answers with one document at the end. Raises what ``assign`` raises, the worker's typed errors and ``DeadlineError``."""
        async with self.deadline.guard():
            assigned = await self.assign()
            with ChoiceEvents(assigned.client, assigned.jobs) as events:
                self.trace.submitted(assigned.jobs)
                return await self._collect(events, assigned)

    async def streamed(self, keep_alive: float) -> web.StreamResponse:
        """Sends events as they come, and a sign of life after ``keep_alive`` seconds of silence, also while the model loads.

        Until the worker starts on the request, or a first sign of life is due, no status is out: errors so far are raised. Later ones are
        the stream's last event.
        """
        sse, failure = SseWriter(self.request, keep_alive, self.sign_of_life), self.early_failure
        try:
            async with self.deadline.guard():
                assigned = await sse.alive_during(self.assign())
                failure = assigned.shape.failure
                with ChoiceEvents(assigned.client, assigned.jobs, on_overflow=lambda: self._cut_off(sse)) as choices:
                    self.trace.submitted(assigned.jobs)
                    async with aclosing(with_ticks(choices, sse.until_keep_alive)) as events:
                        async for event in events:
                            await self._pass_on(event, assigned.shape, sse)
                for told in assigned.shape.end(self._usage):
                    await sse.send(told)
                await sse.end()
        except MlxdError as error:
            if not sse.started:
                raise
            await self._fail(sse, error, failure)
        except ConnectionError:
            raise  # the client is gone
        except Exception:
            if not sse.started:
                raise
            log.exception("request_crashed", method=self.request.method, route=self.trace.endpoint)
            await self._fail(sse, internal_error(), failure)
        return sse.response

    async def _collect(self, events: ChoiceEvents, assigned: Assignment) -> web.Response:
        building = [AnswerBuilder() for _ in assigned.jobs.all]
        async for told in events:
            self._observe(told)
            building[told.choice].take(told.event)
        body = assigned.shape.whole([each.answer() for each in building], self._usage)
        return web.Response(body=body, content_type="application/json", headers=self._cache_header())

    async def _pass_on(self, told: ChoiceEvent | None, shape: AnswerShape, sse: SseWriter) -> None:
        if told is None:
            await sse.keep_alive(shape.alive())
            return
        self._observe(told)
        if isinstance(told.event, Started):
            await sse.start(self._cache_header())
        for event in shape.on(told.choice, told.event):
            await sse.send(event)

    def _observe(self, told: ChoiceEvent) -> None:
        self.request[SPENDING].add(self.trace.observe(told.choice, told.event))

    @property
    def _usage(self) -> Usage:
        return self.trace.usage or Usage(prompt_tokens=0, completion_tokens=0)

    def _cache_header(self) -> dict[str, str]:
        return {CACHE_HEADER: self.trace.cache.value} if self.trace.cache else {}

    def _cut_off(self, sse: SseWriter) -> None:
        self.trace.fail(SlowClientError("the client stopped reading its stream"))
        sse.cut_off()

    async def _fail(self, sse: SseWriter, error: MlxdError, told: Callable[[MlxdError], Iterable[SseEvent]]) -> None:
        self.trace.fail(error)
        self.request.app[TELEMETRY].request_rejected(self.trace.model, error.code)
        await sse.fail(told(error))
