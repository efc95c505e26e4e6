"""A worker in a process of its own: spawned with one end of a socketpair, heard, and ended."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence

from mlxd import child_process
from mlxd.client.socket_worker import SocketWorker
from mlxd.client.worker_client import WorkerLog
from mlxd.client.worker_output import WorkerOutput
from mlxd.scratch import remove_scratch
from mlxd.wire.messages import LogRecord

COMMAND = child_process.command("mlxd.worker")  # the socket's file descriptor is appended
LAST_OUTPUT = 1.0  # seconds; a child of the worker may hold the pipe open for longer than the worker lives


class ProcessWorker(SocketWorker):
    """The real ``WorkerClient``.

    The process can fetch what is at ``source`` and at those ``beside`` it, and nothing else that needs a password. ``hang_timeout`` and
    ``load_timeout`` are in seconds; ``HangWatch`` says what they mean. ``log`` gets the worker's own records, and what its process prints
    as records of the event ``worker_stderr``.
    """

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        model: str,
        source: str,
        *,
        hang_timeout: float,
        load_timeout: float,
        log: WorkerLog,
        command: Sequence[str] = COMMAND,
        beside: Iterable[str] = (),
    ) -> None:
        host = ProcessHost(command, [source, *beside], self._printed)
        super().__init__(model, host, hang_timeout=hang_timeout, load_timeout=load_timeout, log=log)

    def _printed(self, line: str) -> None:
        self._forward(LogRecord(level="warning", event="worker_stderr", fields={"line": line}))


class ProcessHost:
    """A process that implements ``WorkerHost``. It leads a process group of its own, so that Ctrl-C in the daemon's terminal does not reach
    it, and so that it is killed together with what it has spawned. It inherits standard streams and its socket, nothing else; when the
    daemon dies, the socket's end of file ends it.

    It stays in the daemon's session. Linux may schedule by session (``sched_autogroup_enabled``): beside a worker that computes in another
    one on all cores, the daemon's own threads were seen to wait up to 200 ms for a core, which ``/livez`` and every stream feel.
    """

    def __init__(self, command: Sequence[str], sources: Sequence[str], on_line: Callable[[str], None]) -> None:
        self._command = command
        self._sources = sources
        self._output = WorkerOutput(on_line)
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._pipe: asyncio.ReadTransport | None = None

    async def launch(self) -> socket.socket:
        with contextlib.ExitStack() as on_failure:
            ours, theirs = socket.socketpair()
            on_failure.callback(ours.close)
            with theirs:
                read_end, write_end = os.pipe()
                pipe = on_failure.enter_context(os.fdopen(read_end, "rb", buffering=0))
                try:
                    self._process = await self._spawn(theirs.fileno(), write_end)
                finally:
                    os.close(write_end)
            on_failure.pop_all()
        # A pipe of our own: asyncio's would make wait() wait for everybody who holds its other end.
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        self._listening = asyncio.create_task(self._output.read_from(reader))
        return ours

    async def _spawn(self, sock: int, output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            str(sock),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(sock,),
            env=child_process.environment(os.environ, *self._sources),
            process_group=0,
        )

    async def wait(self) -> str:
        """Waits as ``WorkerHost`` says; the answer has the last lines that the process printed."""
        assert self._process is not None  # noqa: S101  launched
        assert self._listening is not None  # noqa: S101
        code = await self._process.wait()
        self._signal_group(self._process.pid, signal.SIGKILL)  # what it spawned, such as a download
        removing = asyncio.create_task(asyncio.to_thread(remove_scratch, self._process.pid))
        await asyncio.wait({self._listening, removing}, timeout=LAST_OUTPUT)
        self._listening.cancel()
        if self._pipe is not None:
            self._pipe.close()
        words = self._output.last_words
        return f"{describe_exit(code)}: {words}" if words else describe_exit(code)

    def terminate(self) -> None:
        if self.pid is not None:
            self._signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.pid is not None:
            self._signal_group(self.pid, signal.SIGKILL)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def _signal_group(self, group: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says EPERM of zombies
            os.killpg(group, number)


def describe_exit(code: int) -> str:
    """Says how a process ended: ``-9`` becomes "killed by SIGKILL", ``3`` becomes "exited with code 3"."""
    if code >= 0:
        return f"exited with code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
