"""A worker without MLX: it speaks the wire, echoes words, and misbehaves on demand.

As a process: ``ProcessWorker(..., command=fake_worker.COMMAND)``; in a thread: ``LocalWorker(fake_worker.run)``.

What happens at load is said by the last part of ``Load.source``, so that a configured model can say it:

    fake/ok                    Progress, Ready
    fake/slow                  Progress "fetching" 40 of 100, then waits for a permit (see below), then Ready
    fake/needs-N               asks for N bytes of memory, and is ready once they are granted
    fake/faulty                Ready, and then every request fails
    fake/stuck                 Progress once, then nothing but heartbeats
    fake/crash                 SIGKILL of itself
    fake/abort                 a native abort's message on stderr, then SIGABRT
    fake/exit                  exits with code 3
    fake/damaged               LoadFailed(model_source)
    fake/offline               LoadFailed(model_unreachable): worth another try
    fake/oom                   LoadFailed(internal_error)
    fake/garbage               bytes that are no frame
    fake/close                 its socket is closed and the process stays
    /a/dir/crash-3-times       counts its starts in /a/dir; SIGKILL of itself three times, then as fake/ok
    /a/dir/damaged-1-times     likewise with LoadFailed

How it greets is said by its command, for it comes before Load: ``COMMAND``, ``OLD_COMMAND`` (Hello of another
version), ``SILENT_COMMAND`` (no Hello), ``RUDE_COMMAND`` (a heartbeat instead), ``DEAD_COMMAND`` (exits with a traceback).

What a request does is said by the first word of its prompt (of the last message, for a chat):

    hold a b c                 one permit for each word
    queue                      never starts
    crash | abort | exit       Started, one Delta, then as above
    stop                       Started, one Delta, then SIGSTOP of itself
    mute                       Started, one Delta, then no frame any more, heartbeats included
    busy                       Started, one Delta, then heartbeats with busy_seconds that grow
    deaf                       Started, one Delta, then it does not read its socket any more
    garbage | oversize         Started, one Delta, then bytes that are no frame, or a length beyond any limit
    close                      Started, one Delta, then its socket is closed and the process stays
    fail | full                Failed(generation_failed), Failed(queue_full) with retry_after 7
    flood N                    N deltas as fast as they can be written
    stderr N                   N lines on stderr, then an echo
    log                        a LogRecord, then an echo
    anything else              echo: one word a step, at most max_tokens

A permit is one SIGUSR1 to the process; in a thread, one ``Abort`` of the id "permit".
``Finished.usage`` counts words. A prompt that was seen before is reported as a cache hit.
"""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path

from mlxd import __version__
from mlxd.types import CacheFigures, CacheOutcome, EntryFigures, FinishReason, MediaFigures, MemoryFigures, Timings, Usage
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import Delta, Failed, Finished, Started
from mlxd.wire.framing import worker_codec
from mlxd.wire.jobs import Generate
from mlxd.wire.messages import (
    Abort,
    CacheEvicted,
    Detokenize,
    Detokenized,
    Events,
    EvictCache,
    Heartbeat,
    Hello,
    Load,
    LoadFailed,
    LogRecord,
    NeedsMemory,
    Proceed,
    Progress,
    Ready,
    Reconfigure,
    Reconfigured,
    StepStats,
    Stop,
    Tokenize,
    Tokenized,
    Unreadable,
)
from mlxd.wire.parts import Text
from tests.support.wire_requests import prompt_text, resolved

COMMAND = (sys.executable, str(Path(__file__).resolve()))
OLD_COMMAND = (*COMMAND, "old")
SILENT_COMMAND = (*COMMAND, "silent")
RUDE_COMMAND = (*COMMAND, "rude")
DEAD_COMMAND = (*COMMAND, "dead")
NATIVE_MESSAGE = "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] Command buffer execution failed"


def run(sock: socket.socket) -> None:
    """Until Stop or end of file. Runs in any thread."""
    asyncio.run(FakeWorker().serve(sock))


class FakeWorker:
    def __init__(self, greeting="hello"):
        self.greeting = greeting
        self.codec = worker_codec()
        self.permits = asyncio.Semaphore(0)
        self.requests: dict[str, asyncio.Task] = {}
        self.started: set[str] = set()
        self.seen: set[str] = set()
        self.cached: dict[str, int] = {}
        self.reading = asyncio.Event()
        self.reading.set()
        self.granted = asyncio.Event()
        self.faulty = False
        self.mute = False
        self.busy = 0.0
        self.steps = 0

    async def serve(self, sock):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.permits.release)
        self.reader, self.writer = await asyncio.open_connection(sock=sock)
        reading = asyncio.create_task(self.read())
        self.loading = None
        try:
            await reading
        finally:
            tasks = [task for task in (self.loading, *self.requests.values()) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.writer.transport.abort()

    def send(self, message):
        if not self.mute and not self.writer.is_closing():
            self.writer.write(self.codec.encode(message))

    async def read(self):
        self.greet()
        while (message := await self.codec.read(self.reader)) is not None:
            if isinstance(message, Stop):
                return
            self.act(message)
            await self.reading.wait()
        await self.reading.wait()

    def act(self, message):
        match message:
            case Load():
                self.loading = asyncio.create_task(self.load(message))
            case Generate():
                self.requests[message.id] = asyncio.create_task(self.generate(message))
            case Abort(id="permit"):
                self.permits.release()
            case Abort(id=request_id):
                if request_id in self.requests:
                    self.requests.pop(request_id).cancel()
                    self.started.discard(request_id)
            case Proceed():
                self.granted.set()
            case Reconfigure(limits=limits):
                self.reconfigure(limits)
            case Tokenize() | Detokenize():
                self.tell_of_tokens(message)
            case EvictCache():
                self.send(CacheEvicted(entries=len(self.seen), bytes=100 * len(self.seen)))
                self.seen.clear()

    def reconfigure(self, limits):
        """A limit of 13 requests kills it; of 14, it never answers."""
        if limits.max_queue == 13:
            self.die("exit")
        elif limits.max_queue != 14:
            self.send(Reconfigured(limits=resolved(limits)))

    def tell_of_tokens(self, question):
        """A token is a Unicode character. A text of "die" kills it; of "wait", it never answers; one that begins with "bad" is refused."""
        if isinstance(question, Detokenize):
            self.send(Detokenized(id=question.id, text="".join(map(chr, question.token_ids))))
            return
        text = prompt_text(question.prompt)
        if text == "die":
            self.die("exit")
        elif text.startswith("bad"):
            error = ErrorInfo(code="invalid_request", message="the chat template refuses this", param="messages")
            self.send(Unreadable(id=question.id, error=error))
        elif text != "wait":
            self.send(Tokenized(id=question.id, tokens=list(map(ord, text)), pieces=list(text) if question.with_pieces else []))

    def greet(self):
        match self.greeting:
            case "old":
                self.send(Hello(pid=os.getpid(), version="0.0.1"))
            case "rude":
                self.send(Heartbeat(running=0, waiting=0, steps=0, busy_seconds=0, memory=MemoryFigures()))
            case "dead":
                raise RuntimeError("no such device")
            case "hello":
                self.send(Hello(pid=os.getpid(), version=__version__))

    # ---- load ----

    async def load(self, load: Load):
        word = load.source.rsplit("/", 1)[-1]
        if (found := re.fullmatch(r"(\w+)-(\d+)-times", word)) is not None:
            counter = Path(load.source).with_suffix(".starts")
            counter.parent.mkdir(parents=True, exist_ok=True)
            with counter.open("a") as file:
                file.write("x")
            word = found[1] if counter.stat().st_size <= int(found[2]) else "ok"
        if (found := re.fullmatch(r"needs-(\d+)", word)) is not None:
            self.send(NeedsMemory(weights=int(found[1]), cache=0, transients=0))
            await self.granted.wait()
            word = "ok"
        self.faulty = word == "faulty"
        beating = asyncio.create_task(self.beat(load.heartbeat_interval))
        try:
            await self.load_by(word, load)
            await asyncio.Event().wait()  # until cancelled
        finally:
            beating.cancel()

    async def load_by(self, word, load):
        self.send(Progress(stage="fetching", done=40, total=100))
        match word:
            case "slow":
                await self.permits.acquire()
            case "stuck":
                return
            case "crash" | "abort" | "exit" | "garbage" | "close":
                self.die(word)
                return
            case "damaged":
                self.refuse(ErrorInfo(code="model_source", message="model.safetensors is truncated: fetch it again"))
                return
            case "offline":
                self.refuse(ErrorInfo(code="model_unreachable", message="no network: connect and wait"))
                return
            case "oom":
                self.refuse(ErrorInfo(code="internal_error", message="out of memory"))
                return
        self.send(Progress(stage="loading"))
        self.send(self.ready(load))

    def ready(self, load):
        return Ready(
            runner="contiguous" if load.mode == "continuous" else "simple",
            runner_reason=f"a fake of {load.source}",
            device="cpu",
            dtype="float32",
            context_length=load.context_length or 2048,
            vocab_size=1000,
            weight_bytes=1000,
            limits=resolved(load.limits),
            load_seconds=0.01,
            versions={"mlx": "0", "mlx_lm": "0"},
        )

    def refuse(self, error):
        self.send(LoadFailed(error=error))
        self.writer.close()  # after what is written
        if _is_process:
            asyncio.get_running_loop().call_later(0.01, os._exit, 1)

    async def beat(self, interval):
        while True:
            self.send(
                Heartbeat(
                    running=len(self.started),
                    waiting=len(self.requests) - len(self.started),
                    steps=self.steps,
                    busy_seconds=self.busy,
                    memory=MemoryFigures(weights=1000, rss=2000),
                    cache=CacheFigures(kept=EntryFigures(count=len(self.seen)), media=MediaFigures()),
                )
            )
            await asyncio.sleep(interval)
            if self.busy:
                self.busy += interval

    # ---- requests ----

    async def generate(self, request):
        try:
            await self.generate_by(request)
        finally:
            self.requests.pop(request.id, None)
            self.started.discard(request.id)

    async def generate_by(self, request):
        text = prompt_text(request.prompt)
        verb, *words = text.split() or [""]
        match "fail" if self.faulty else verb:
            case "queue":
                await asyncio.Event().wait()
            case "fail":
                self.event(Failed(id=request.id, error=ErrorInfo(code="generation_failed", message="a fault of this row")))
                return
            case "full":
                self.event(Failed(id=request.id, error=ErrorInfo(code="queue_full", message="the queue is full", retry_after=7.0)))
                return
            case "hold":
                self.start(request, text)
                await self.echo(request, words, self.permits.acquire)
            case "flood":
                self.start(request, text)
                for _ in range(int(words[0])):
                    self.step(Delta(id=request.id, parts=[Text(text="x")], tokens=1))
                self.finish(request, text, int(words[0]), FinishReason.STOP)
            case "crash" | "abort" | "exit" | "stop" | "mute" | "busy" | "deaf" | "garbage" | "oversize" | "close":
                self.start(request, text)
                self.step(Delta(id=request.id, parts=[Text(text=verb)], tokens=1))
                await self.writer.drain()
                self.die(verb)
                await asyncio.Event().wait()
            case _:
                self.make_noise(verb, words)
                self.start(request, text)
                await self.echo(request, [verb, *words], lambda: asyncio.sleep(0))

    def make_noise(self, verb, words):
        if verb == "log":
            self.send(LogRecord(level="info", event="prompt_seen", fields={"words": len(words)}))
        if verb == "stderr":
            for number in range(int(words[0])):
                print(f"noise {number}", file=sys.stderr)  # noqa: T201

    def start(self, request, text):
        self.started.add(request.id)
        prompt, hit = len(text.split()), text in self.seen
        cached = prompt - 1 if hit else 0
        self.seen.add(text)
        self.cached[request.id] = cached
        self.event(Started(id=request.id, prompt_tokens=prompt, cached_tokens=cached, cache=CacheOutcome.HIT if hit else CacheOutcome.MISS))

    async def echo(self, request, words, permit):
        cut = words[: request.max_tokens]
        for word in cut:
            await permit()
            self.step(Delta(id=request.id, parts=[Text(text=word + " ")], tokens=1))
        self.finish(request, prompt_text(request.prompt), len(cut), FinishReason.STOP if len(cut) == len(words) else FinishReason.LENGTH)

    def finish(self, request, text, tokens, reason):
        self.event(
            Finished(
                id=request.id,
                parts=[],
                tokens=0,
                reason=reason,
                usage=Usage(prompt_tokens=len(text.split()), completion_tokens=tokens, cached_tokens=self.cached.pop(request.id, 0)),
                timings=Timings(queue=0.001, prefill=0.002, decode=0.003),
            )
        )

    def event(self, event):
        self.send(Events(events=[event]))

    def step(self, event):
        self.steps += 1
        self.send(Events(events=[event], step=StepStats(seconds=0.001, tokens=1, rows=1, inter_token=0.001, generated_tokens=1)))

    def die(self, how):
        match how:
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "abort":
                print(NATIVE_MESSAGE, file=sys.stderr, flush=True)  # noqa: T201
                os.abort()
            case "exit":
                os._exit(3)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case _:
                self.go_wrong(how)

    def go_wrong(self, how):
        match how:
            case "mute":
                self.mute = True
            case "busy":
                self.busy = 0.001
            case "deaf":
                self.reading.clear()
            case "garbage":
                self.writer.write(b"\x00\x00\x00\x04junk")
            case "oversize":
                self.writer.write(b"\xff\xff\xff\xff")
            case "close":
                self.reading.clear()
                self.writer.transport.abort()


_is_process = False  # a thread must not end the process

if __name__ == "__main__":
    _is_process = True
    greeting = sys.argv[1] if len(sys.argv) > 2 else "hello"
    asyncio.run(FakeWorker(greeting).serve(socket.socket(fileno=int(sys.argv[-1]))))
