"""The daemon's end of a worker, for tests: a real process over a socketpair, or ``run_worker`` in a thread."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections import defaultdict

from mlxd.types import ChatMessage, Limits, SamplingParams
from mlxd.wire.events import Delta, Failed, Finished, Started
from mlxd.wire.framing import daemon_codec
from mlxd.wire.jobs import Generate
from mlxd.wire.messages import Events, Heartbeat, Load, LoadFailed, NeedsMemory, Proceed, Ready
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import ChatPrompt, TextPrompt, TokenPrompt
from mlxd.worker.main import run_worker
from tests.support.forked import worker_m
from tests.support.forked_workers import ForkedWorker
from tests.support.patience import PATIENCE

LIMITS = {"max_queue": 16, "cache_bytes": 256 * 2**20, "cache_entries": 16}


# With a block size of 1 a paged cache reuses everything but the last token, as the others do.
MODES = {
    "simple": {},
    "paged": {"mode": "continuous", "cache_kind": "paged", "block_size": 1},
    "entries": {"mode": "continuous", "cache_kind": "entries"},
}


def load_message(source, **changes):
    """``changes``: fields of ``Load`` or of its ``Limits``."""
    fields = {
        "model": "tiny",
        "source": str(source),
        "dtype": "auto",
        "context_length": None,
        "mode": "simple",
        "cache_kind": "entries",
        "block_size": 16,
        "heartbeat_interval": 0.05,
    }
    own = fields.keys() | {"limits", "task", "tools", "reasoning", "draft", "attention", "compile", "kv_wish"}
    limits = Limits(**(LIMITS | {name: value for name, value in changes.items() if name not in own}))
    return Load(**(fields | {"limits": limits} | {name: value for name, value in changes.items() if name in own}))


def generate(name, prompt, *, max_tokens=8, stop=(), **sampling):
    """``prompt``: a user's message, a list of token ids, or a wire prompt."""
    if isinstance(prompt, str):
        prompt = ChatPrompt(messages=[ChatMessage(role="user", content=prompt)])
    elif isinstance(prompt, list):
        prompt = TokenPrompt(token_ids=prompt)
    return Generate(
        id=name,
        prompt=prompt,
        sampling=SamplingParams(**({"temperature": 0.0} | sampling)),
        max_tokens=max_tokens,
        output=OutputSpec(stop=list(stop)),
    )


def text(value):
    return TextPrompt(text=value)


class Link:
    """Everything the worker says, in order, and by request."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._codec = daemon_codec()
        self._arrived = asyncio.Condition()
        self.messages = []
        self.events = defaultdict(list)
        self.closed = False
        self.permits = True  # memory, as soon as it is asked for
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        while (message := await self._codec.read(self._reader)) is not None:
            async with self._arrived:
                self.messages.append(message)
                if isinstance(message, NeedsMemory) and self.permits:
                    self.send(Proceed())
                for event in message.events if isinstance(message, Events) else ():
                    self.events[event.id].append(event)
                self._arrived.notify_all()
        async with self._arrived:
            self.closed = True
            self._arrived.notify_all()

    def send(self, *messages):
        """In one write, so that the worker reads them together."""
        self._writer.write(b"".join(self._codec.encode(message) for message in messages))

    async def until(self, condition):
        """Wait until ``condition()`` is true; it is looked at whenever something arrives."""
        async with asyncio.timeout(PATIENCE), self._arrived:
            await self._arrived.wait_for(lambda: condition() or self.closed)
        assert condition(), f"the worker is gone; its last words: {self.messages[-3:]}"

    def of(self, kind):
        return [message for message in self.messages if isinstance(message, kind)]

    async def load(self, source, **changes):
        """Load; ``Ready`` or ``LoadFailed``."""
        self.send(load_message(source, **changes))
        await self.until(lambda: self.of(Ready) or self.of(LoadFailed))
        return (self.of(Ready) + self.of(LoadFailed))[0]

    async def ended(self, name):
        """``Finished`` or ``Failed`` of a request."""
        await self.until(lambda: any(isinstance(event, Finished | Failed) for event in self.events[name]))
        return self.events[name][-1]

    async def ask(self, name, prompt, **options):
        """Send and wait; the last event."""
        self.send(generate(name, prompt, **options))
        return await self.ended(name)

    async def first_token(self, name):
        await self.until(lambda: any(isinstance(event, Delta) for event in self.events[name]))

    async def started(self, name):
        await self.until(lambda: any(isinstance(event, Started) for event in self.events[name]))
        return next(event for event in self.events[name] if isinstance(event, Started))

    def text(self, name):
        return "".join(event.text for event in self.events[name] if isinstance(event, Delta | Finished))

    def tokens(self, name):
        return sum(event.tokens for event in self.events[name] if isinstance(event, Delta | Finished))

    async def next(self, kind):
        """The next message of a kind that arrives from now on."""
        seen = len(self.of(kind))
        await self.until(lambda: len(self.of(kind)) > seen)
        return self.of(kind)[-1]

    def forget(self):
        """All that was said, but for what it can and how it is."""
        self.messages = self.of(Ready)[-1:] + self.of(Heartbeat)[-1:]
        self.events.clear()

    async def close(self):
        self._writer.close()
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading


@contextlib.asynccontextmanager
async def in_thread():
    """``run_worker`` in a thread of this process."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=run_worker, args=(theirs,), daemon=True)
    thread.start()
    link = Link(*await asyncio.open_connection(sock=ours))
    try:
        yield link
    finally:
        await link.close()
        await asyncio.to_thread(thread.join, PATIENCE)
        assert not thread.is_alive()


@contextlib.asynccontextmanager
async def in_process():
    """A real worker: yields the link and the process; killed at the end if it is still there."""
    if sys.platform != "linux":
        async with in_new_process() as (link, process):
            yield link, process
        return
    ours, theirs = socket.socketpair()
    with theirs:
        process = await ForkedWorker(worker_m(theirs, output=sys.__stderr__.fileno())).begin()
    link = Link(*await asyncio.open_connection(sock=ours))
    try:
        yield link, process
    finally:
        await link.close()
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()


@contextlib.asynccontextmanager
async def in_new_process(**environment):
    """The same by a Python that begins, whose standard error can be read: for what is about its beginning and its environment."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mlxd.worker",
            str(theirs.fileno()),
            pass_fds=[theirs.fileno()],
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            **environment,
        )
    link = Link(*await asyncio.open_connection(sock=ours))
    try:
        yield link, process
    finally:
        await link.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
