"""The requests of one worker on its I/O thread: from ``Generate`` to tokens, and from tokens to wire events."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from typing_extensions import override

from mlxd.errors import GenerationError, MlxdError, UnsupportedTaskError
from mlxd.types import FinishReason, Limits, Timings, Usage
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import Delta, Echo, Failed, Finished, RequestEvent, Started
from mlxd.wire.jobs import Generate, Job
from mlxd.wire.logprobs import TokenLogprobs
from mlxd.wire.messages import Events, Load
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import TextPrompt
from mlxd.worker.adapters.adapter_names import AdapterNames, RefusedAdapters
from mlxd.worker.engine.events import Encoded, Ended, EngineEvent, PromptScored, StepOutput
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.sampled import Sampled, SampledToken
from mlxd.worker.entrance import Entrance
from mlxd.worker.job_sessions import JobSessions
from mlxd.worker.media_pool import MediaPool
from mlxd.worker.request_encoder import RequestEncoder
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.logprobs import AnswerLogprobs, TokenTexts, prompt_logprobs
from mlxd.worker.text.output import Piece, TextOutput

_log = logging.getLogger(__name__)


@dataclass
class _Session:
    """A request that is not over, and has ``started`` once it left the queue. ``echo`` is its prompt's text, where that is wanted."""

    request: EngineRequest
    output: TextOutput
    spec: OutputSpec
    logprobs: AnswerLogprobs | None
    echo: str | None
    started: Started | None = None
    matched_token: int | None = None
    accepted: int = 0  # tokens of its answer that had been guessed
    rejected: int = 0  # guesses that were wrong, or behind wrong ones

    def take_logprobs(self) -> list[TokenLogprobs]:
        """Returns those that can be told by now."""
        return [] if self.logprobs is None else self.logprobs.take()


class Sessions(JobSessions):
    """The requests of a worker whose model generates. ``send`` is called on the I/O thread."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a worker, put together once
        self,
        load: Load,
        encoder: RequestEncoder,
        answers: AnswerReader,
        queue: RequestQueue[EngineRequest],
        send: Callable[[Events], None],
        media: MediaPool | None = None,
        adapters: AdapterNames | None = None,
    ) -> None:
        self._interval = load.limits.stream_interval
        self._encoder = encoder
        self._answers = answers
        self.texts = TokenTexts(answers.decode, answers.kinds)
        self._queue = queue
        self._send = send
        self._media = media or MediaPool(None)
        self._adapters = adapters or RefusedAdapters("this model has no adapters")
        self._open: dict[str, _Session] = {}
        self._entrance = Entrance(queue, self._refused, "prompt")
        # Our own, and never waited for: a loop's default pool would hold up the end of the process.
        self.tokenizing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenize")
        self._compiling = ThreadPoolExecutor(max_workers=2, thread_name_prefix="grammar")  # nobody else waits for a large one

    @override
    def open(self, job: Job) -> None:
        arrived = time.monotonic()
        try:
            if not isinstance(job, Generate):
                raise UnsupportedTaskError("this model generates text; it makes no vectors, and no scores of texts", param="model")
            self._entrance.enter(job.id, lambda: self._tokenize(job, arrived), job.behind)
        except MlxdError as error:
            self._fail(job.id, error)

    @override
    def reconfigure(self, limits: Limits) -> None:
        self._interval = limits.stream_interval
        self._encoder.reconfigure(limits)
        for session in self._open.values():
            session.output.interval = limits.stream_interval

    @property
    @override
    def grammar_bytes(self) -> int:
        return self._encoder.grammar_bytes

    @override
    def close(self) -> None:
        self._entrance.close()
        self._media.close()
        self.tokenizing.shutdown(wait=False, cancel_futures=True)
        self._compiling.shutdown(wait=False, cancel_futures=True)

    def _refused(self, request_id: str, error: MlxdError) -> None:
        self._open.pop(request_id, None)
        self._fail(request_id, error)

    async def _tokenize(self, generate: Generate, arrived: float) -> None:
        run = asyncio.get_running_loop().run_in_executor
        adapter = await self._adapters.find(generate.adapter)
        seen = await self._media.see(generate.prompt, generate.salt)
        request = await run(self.tokenizing, self._encoder.encode, generate, arrived, seen, adapter)
        if self._encoder.is_constrained(generate.output):
            await run(self._compiling, self._encoder.constrain, request, generate.output)
        output = self._answers.output(request.prompt, generate.output, self._interval)
        output.min_tokens = request.stopping.min_tokens
        logprobs = None if request.logprobs is None else AnswerLogprobs(self.texts, self._answers.kinds.controls, generate.output)
        echo = await run(self.tokenizing, self._echo_text, generate, request) if generate.output.echo else None
        self._open[generate.id] = _Session(request, output, generate.output, logprobs, echo)
        if not self._queue.put(request):
            del self._open[generate.id]  # aborted meanwhile

    def _echo_text(self, generate: Generate, request: EngineRequest) -> str:
        """Returns the prompt as the client wrote it, or what its tokens say, control tokens included."""
        if isinstance(generate.prompt, TextPrompt):
            return generate.prompt.text
        first, *others = request.tokens
        return b"".join([self.texts.first(first), *map(self.texts.raw, others)]).decode(errors="replace")

    @override
    def abort(self, request_id: str) -> None:
        self._open.pop(request_id, None)
        self._queue.withdraw(request_id)

    @override
    def deliver(self, output: StepOutput) -> None:
        events = [told for event in output.events for told in self._try(event, output.timings)]
        if events or output.stats is not None:
            self._send(Events(events=events, step=output.stats))

    def _try(self, event: EngineEvent, timings: Mapping[str, Timings]) -> list[RequestEvent]:
        """Returns what is told of an event. A fault of one request's text ends that request, and costs the others of its step nothing."""
        is_open = event.id in self._open
        try:
            return self._tell(event, timings)
        except Exception as error:  # noqa: BLE001 - whatever a detokenizer or a parser raises
            _log.exception("the text of request %s could not be made", event.id)
            self.abort(event.id)
            failure = GenerationError(f"the text of this request could not be made: {type(error).__name__}: {error}")
            return [Failed(id=event.id, error=ErrorInfo.of(failure))] if is_open else []

    def _tell(self, event: EngineEvent, timings: Mapping[str, Timings]) -> list[RequestEvent]:
        session = self._open.get(event.id)
        if session is None or isinstance(event, Encoded):  # aborted, or ended by a stop string; the other is of models that encode
            return []
        match event:
            case Started():
                session.started = event
                return [event, *self._echo(session)]
            case PromptScored():
                tokens = prompt_logprobs(self.texts, session.request.tokens[0], event.tokens)
                return [Echo(id=event.id, text=session.echo or "", tokens=tokens)]
            case Sampled():
                return self._take(session, event, timings[event.id])
            case Ended():
                return [self._finish(session, event.reason, timings[event.id])]
            case Failed():
                del self._open[event.id]
                return [event]

    def _echo(self, session: _Session) -> list[RequestEvent]:
        """Returns the echo of a prompt whose log-probabilities are not waited for."""
        if session.echo is None or session.request.prompt_logprobs:
            return []
        return [Echo(id=session.request.id, text=session.echo)]

    def _take(self, session: _Session, event: Sampled, timings: Timings) -> list[RequestEvent]:
        told: list[RequestEvent] = []
        session.rejected += event.rejected
        for at, token in enumerate(event.with_text):
            told += self._token(session, token)
            session.accepted += at < event.accepted
            if session.output.matched_stop is not None:
                self._queue.withdraw(event.id)  # the engine need not go on
                return [*told, self._finish(session, FinishReason.STOP, timings)]
        return told + self._end_token(session, event.tokens[-1]) if event.is_end else told

    def _token(self, session: _Session, token: SampledToken) -> list[RequestEvent]:
        if session.logprobs is not None:
            session.logprobs.push(token)
        piece = session.output.push(token.id)
        if piece is None:
            return []
        return [Delta(id=session.request.id, parts=piece.parts, tokens=piece.tokens, logprobs=session.take_logprobs())]

    def _end_token(self, session: _Session, token: SampledToken) -> list[RequestEvent]:
        """Takes the token that ends the answer, which is shown only if it is one that the client named, and wants to see."""
        if token.id in session.request.stopping.token_ids:
            session.matched_token = token.id
            if session.spec.include_stop:
                return self._token(session, token)
        if session.logprobs is not None:
            session.logprobs.push_end(token)
        session.output.push_end_token(token.id)
        return []

    def _finish(self, session: _Session, reason: FinishReason, timings: Timings) -> Finished:
        del self._open[session.request.id]
        last: Piece = session.output.finish()
        return Finished(
            id=session.request.id,
            parts=last.parts,
            tokens=last.tokens,
            reason=_reason(session.output, reason),
            usage=_usage(session),
            timings=timings,
            matched_stop=session.output.matched_stop,
            matched_token=session.matched_token,
            logprobs=[] if session.logprobs is None else session.logprobs.finish(session.output.matched_stop),
            cumulative_logprob=None if session.logprobs is None else session.logprobs.cumulative,
            warnings=[*session.output.warnings],
        )

    def _fail(self, request_id: str, error: MlxdError) -> None:
        self._send(Events(events=[Failed(id=request_id, error=ErrorInfo.of(error))]))


def _reason(output: TextOutput, reason: FinishReason) -> FinishReason:
    """Returns why an answer ended of which the engine says ``reason``."""
    if output.matched_stop is not None:
        return FinishReason.STOP
    return FinishReason.TOOL_CALLS if reason is FinishReason.STOP and output.calls_tools else reason


def _usage(session: _Session) -> Usage:
    return Usage(
        prompt_tokens=len(session.request.tokens),
        completion_tokens=session.output.tokens,
        cached_tokens=session.started.cached_tokens if session.started else 0,
        reasoning_tokens=session.output.reasoning_tokens,
        accepted_tokens=session.accepted,
        rejected_tokens=session.rejected,
    )
