"""One socket to one worker: the handshake, frames in and out, requests to their streams."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import msgspec

from mlxd import __version__
from mlxd.adapter_terms import AdapterFigures
from mlxd.client.question_table import Answer, QuestionTable
from mlxd.client.stream_table import StreamTable
from mlxd.client.worker_client import RequestStream
from mlxd.errors import BodyTooLargeError, InvalidRequestError, MlxdError, QueueFullError, VersionMismatchError, WorkerLostError, from_code
from mlxd.types import Limits, ResolvedLimits
from mlxd.wire.framing import FramingError, daemon_codec
from mlxd.wire.jobs import Job
from mlxd.wire.messages import (
    Abort,
    AdapterChanged,
    AdapterRefused,
    CacheEvicted,
    Detokenize,
    Detokenized,
    Events,
    EvictCache,
    FromDaemon,
    FromWorker,
    Heartbeat,
    Hello,
    Load,
    LoadAdapter,
    LoadFailed,
    LogRecord,
    NeedsMemory,
    Progress,
    Ready,
    Reconfigure,
    Reconfigured,
    StepStats,
    Tokenize,
    Tokenized,
    UnloadAdapter,
    Unreadable,
)
from mlxd.wire.prompts import Prompt

T = TypeVar("T")

UNREAD_LIMIT = 64 * 1024 * 1024  # bytes the worker has not read yet; beyond, requests are refused
READ_BUFFER = 1024 * 1024  # bytes


@dataclass(frozen=True, kw_only=True)
class Sinks:
    """The callbacks for frames that belong to no request. They are called on the event loop and must not block."""

    every: Callable[[FromWorker], None]  # each frame, before anything else is done with it
    progress: Callable[[Progress], None]
    needs: Callable[[NeedsMemory], None]
    step: Callable[[StepStats], None]
    log: Callable[[LogRecord], None]


class Connection:
    """The daemon's end of the socket. ``loaded`` becomes ``Ready``, or the typed error of ``LoadFailed``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, load: Load, sinks: Sinks) -> None:
        self.streams = StreamTable(self._send_abort)
        self.loaded: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self.heartbeat: Heartbeat | None = None
        self.limits: ResolvedLimits | None = None  # as the worker said last
        self._greeted = False
        self._reader = reader
        self._writer = writer
        self._load = load
        self._sinks = sinks
        self._codec = daemon_codec()
        self._sent = 0  # bytes, since the start
        self._reconfigurations: deque[asyncio.Future[ResolvedLimits]] = deque()  # sent and not answered, oldest first
        self._evictions: deque[asyncio.Future[CacheEvicted]] = deque()
        self._questions = QuestionTable()

    @classmethod
    async def open(cls, sock: socket.socket, load: Load, sinks: Sinks) -> Self:
        """Takes over ``sock``, a connected stream socket."""
        reader, writer = await asyncio.open_connection(sock=sock, limit=READ_BUFFER)
        return cls(reader, writer, load, sinks)

    async def read_frames(self) -> None:
        """Works off what the worker sends until end of file.

        Raises ``FramingError`` for anything that is no frame or comes out of turn, and ``VersionMismatchError``.
        """
        while (message := await self._codec.read(self._reader)) is not None:
            self._sinks.every(message)
            self._dispatch(message)

    def send(self, message: FromDaemon) -> None:
        """Sends ``message`` without blocking; after the end of the connection it does nothing."""
        self._write(self._codec.encode(message))

    def submit(self, request: Job) -> RequestStream:
        """Sends a request. What is wrong with it comes out of the stream."""
        try:
            self._check_id(request.id)
            frame = self._encode(request)
        except MlxdError as error:
            return failed_stream(request.id, error)
        stream = self.streams.open(request.id)
        self._write(frame)
        return stream

    def reconfigure(self, limits: Limits) -> "asyncio.Future[ResolvedLimits]":
        """Returns a future of what the worker answers, which fails with ``WorkerLostError`` when the connection ends first."""
        return self._ask(Reconfigure(limits=limits), self._reconfigurations)

    def evict_cache(self) -> "asyncio.Future[CacheEvicted]":
        """Returns a future of what the worker answers, which fails as that of ``reconfigure`` does."""
        return self._ask(EvictCache(), self._evictions)

    async def tokenize(self, prompt: Prompt, *, with_pieces: bool) -> Tokenized:
        """Returns the tokens of a prompt. Raises what is wrong with it, and ``WorkerLostError`` when the connection ends first."""
        answer = await self._ask_by_id(Tokenize(id=self._questions.new_id(), prompt=prompt, with_pieces=with_pieces))
        if not isinstance(answer, Tokenized):
            raise FramingError(f"{type(answer).__name__} came in answer to Tokenize")
        return answer

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        """Returns the text of tokens. Raises as ``tokenize``."""
        answer = await self._ask_by_id(Detokenize(id=self._questions.new_id(), token_ids=list(token_ids)))
        if not isinstance(answer, Detokenized):
            raise FramingError(f"{type(answer).__name__} came in answer to Detokenize")
        return answer.text

    async def load_adapter(self, name: str) -> AdapterFigures:
        """Returns what has become of an adapter. Raises what is wrong with it, and ``WorkerLostError`` when the connection ends first."""
        return await self._ask_of_adapters(LoadAdapter(id=self._questions.new_id(), name=name))

    async def unload_adapter(self, name: str) -> AdapterFigures:
        """Returns what has become of an adapter. Raises as ``load_adapter``."""
        return await self._ask_of_adapters(UnloadAdapter(id=self._questions.new_id(), name=name))

    async def _ask_of_adapters(self, question: LoadAdapter | UnloadAdapter) -> AdapterFigures:
        answer = await self._ask_by_id(question)
        if not isinstance(answer, AdapterChanged):
            raise FramingError(f"{type(answer).__name__} came in answer to {type(question).__name__}")
        return answer.figures

    async def _ask_by_id(self, question: Tokenize | Detokenize | LoadAdapter | UnloadAdapter) -> Answer:
        frame = self._encode(question)
        answer = self._questions.open(question.id)
        self._write(frame)
        return await answer

    def _ask(self, question: FromDaemon, waiting: "deque[asyncio.Future[T]]") -> "asyncio.Future[T]":
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        waiting.append(answer)
        self.send(question)
        return answer

    @property
    def unread(self) -> int:
        """Returns the bytes sent and not yet taken by the worker's end of the socket."""
        return self._writer.transport.get_write_buffer_size()

    @property
    def questions(self) -> int:
        """Returns how many questions are asked and not answered."""
        return len(self._reconfigurations) + len(self._evictions)

    @property
    def taken(self) -> int:
        """Returns the bytes that the worker's end of the socket has taken since the start."""
        return self._sent - self.unread

    def close(self) -> None:
        """Closes the socket, for the worker an end of file; what it had not read is lost."""
        unanswered: list[asyncio.Future[Any]] = [*self._reconfigurations, *self._evictions]
        for answer in unanswered:
            if not answer.done():
                answer.set_exception(WorkerLostError("the worker was lost before it answered"))
        self._questions.fail_all(lambda: WorkerLostError("the worker was lost before it answered"))
        self._writer.transport.abort()

    def _check_id(self, request_id: str) -> None:
        if request_id in self.streams:
            raise InvalidRequestError(f'a request with the id "{request_id}" is running already; choose another')

    def _encode(self, request: Job | Tokenize | Detokenize | LoadAdapter | UnloadAdapter) -> memoryview:
        if self.unread > UNREAD_LIMIT:
            raise QueueFullError("the worker is behind with reading requests; try again", retry_after=1.0)
        try:
            return self._codec.encode(request)
        except FramingError as error:
            raise BodyTooLargeError(f"the request is too large for the worker: {error.message}") from error
        except (ValueError, OverflowError, msgspec.MsgspecError) as error:
            raise InvalidRequestError(f"the request holds text or a number that cannot be encoded: {error}") from error

    def _write(self, frame: memoryview) -> None:
        if not self._writer.is_closing():
            self._sent += len(frame)
            self._writer.write(frame)

    def _send_abort(self, request_id: str) -> None:
        self.send(Abort(id=request_id))

    def _dispatch(self, message: FromWorker) -> None:
        if self._greeted == isinstance(message, Hello):
            raise FramingError(f"{type(message).__name__} came {'twice' if self._greeted else 'before Hello'}")
        match message:
            case Events(events=events, step=step):
                for event in events:
                    self.streams.push(event)
                if step is not None:
                    self._sinks.step(step)
            case Heartbeat():
                self.heartbeat = message
            case LogRecord():
                self._sinks.log(message)
            case Reconfigured(limits=limits):
                self.limits = limits
                _answer(self._reconfigurations, limits)
            case CacheEvicted():
                _answer(self._evictions, message)
            case Tokenized() | Detokenized() | Unreadable() | AdapterChanged() | AdapterRefused():
                self._questions.settle(message)
            case _:
                self._dispatch_loading(message)

    def _dispatch_loading(self, message: Hello | Progress | NeedsMemory | Ready | LoadFailed) -> None:
        match message:
            case Hello():
                self._greet(message)
            case Progress():
                self._sinks.progress(message)
            case NeedsMemory():
                self._sinks.needs(message)
            case Ready() | LoadFailed():
                self._finish_loading(message)

    def _greet(self, hello: Hello) -> None:
        if hello.version != __version__:
            raise VersionMismatchError(
                f"the worker is mlxd {hello.version} but the daemon is {__version__}: mlxd was upgraded while it ran; restart the daemon"
            )
        self._greeted = True
        self.send(self._load)

    def _finish_loading(self, outcome: Ready | LoadFailed) -> None:
        if self.loaded.done():  # cancelled meanwhile
            return
        if isinstance(outcome, Ready):
            self.limits = outcome.limits
            self.loaded.set_result(outcome)
            return
        info = outcome.error
        self.loaded.set_exception(from_code(info.code, info.message, param=info.param, retry_after=info.retry_after))


def _answer(waiting: "deque[asyncio.Future[T]]", value: T) -> None:
    """Gives ``value`` to whoever asked first. Raises ``FramingError`` where nobody did."""
    if not waiting:
        raise FramingError(f"{type(value).__name__} came without having been asked for")
    answer = waiting.popleft()
    if not answer.done():
        answer.set_result(value)


def failed_stream(request_id: str, error: MlxdError) -> RequestStream:
    """Returns the stream of a request that never reached a worker."""
    stream = RequestStream(request_id, abort=lambda _: None)
    stream.fail(error)
    return stream
