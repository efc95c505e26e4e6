"""Processes of ours that begin where Python's own beginning would have ended: forked from one that has imported everything.

A daemon takes most of a second of the processor until it has imported what it needs, and the suite starts more than a hundred. On Linux
the first one that a process of tests wants starts a *nursery*, which has imported what daemons do, and forks at each wish; all else is as
after ``python -m module``: arguments, environment, directory, streams, the end. Elsewhere, where a fork is not safe beside the system's
own threads, each is started as ever. What is about the beginning itself uses ``new_python_m``.
"""

import atexit
import functools
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from mlxd.client.process import ProcessHost
from tests.support.batch_scheduling import batch_scheduling
from tests.support.forked_workers import spawner
from tests.support.wishes import Wish, wish_for

_WITH_MLX = "mlxd.worker.runtime.start"


def python_m(module, *arguments, stdin=None, stdout, stderr, env=None):
    """``Popen([sys.executable, "-m", module, …])``, or something that is as good; the streams are open files, or their numbers. Without
    ``stdin`` there is nothing to read.
    """
    if sys.platform != "linux":
        return new_python_m(module, *arguments, stdin=stdin, stdout=stdout, stderr=stderr, env=env)
    return _forked(_nursery(), Wish([module, *map(str, arguments)], _or_ours(env)), stdin, stdout, stderr)


def daemon_m(module, *arguments, stdout, stderr, env=None):
    """The same of a daemon, whose workers are forked too: where they are real ones, from a process that has imported MLX."""
    if sys.platform != "linux":
        return new_python_m(module, *arguments, stdout=stdout, stderr=stderr, env=env)
    nursery = _nursery(_WITH_MLX) if module == "mlxd" else _nursery()
    return _forked(nursery, Wish([module, *map(str, arguments)], _or_ours(env), nursery=True), None, stdout, stderr)


def worker_m(sock, *, output):
    """A real worker on ``sock``, with MLX imported: the pipe of ``wish_for``."""
    with Path(os.devnull).open("rb") as nothing:
        wish = Wish(["mlxd.worker"], dict(os.environ), leads=True)
        return wish_for(_nursery(_WITH_MLX), wish, [nothing.fileno(), output, output], passed=[sock.fileno()])


def fork_workers(monkeypatch):
    """Workers that ``ProcessHost`` starts in this very process are forked, until the test is over."""
    if sys.platform == "linux":
        monkeypatch.setattr(ProcessHost, "_spawn", spawner(_nursery()))


def new_python_m(module, *arguments, stdin=None, stdout, stderr, env=None):
    """The same by a Python that begins: for what is about its beginning."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(command, stdin=stdin or subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env)


def _or_ours(env):
    return dict(os.environ if env is None else env)


def _forked(nursery, wish, stdin, stdout, stderr):
    with Path(os.devnull).open("rb") as nothing:
        streams = [stream if isinstance(stream, int) else stream.fileno() for stream in (stdin or nothing, stdout, stderr)]
        return Forked(wish.command, wish_for(nursery, wish, streams))


class Forked:
    """What the suite uses of a ``Popen``. Its parent is the nursery, which says how it ended: ``told``, see ``wish_for``."""

    def __init__(self, args, told):
        self.args = args
        self.returncode = None
        self._told = os.fdopen(told)
        self.pid = int(self._told.readline())
        self._lock = threading.Lock()

    def poll(self):
        self._hear(0)
        return self.returncode

    def wait(self, timeout=None):
        if not self._hear(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def _hear(self, timeout):
        """Whether it has ended, within ``timeout`` seconds."""
        with self._lock:
            if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
                with self._told:
                    self.returncode = int(self._told.read())
            return self.returncode is not None


@functools.cache
def _nursery(*modules):
    """The socket of a process that forks, which is there as long as this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, batch_scheduling():  # what is forked, and what that starts, has the same
        fd = theirs.fileno()
        process = subprocess.Popen([sys.executable, "-m", "tests.support.nursery", str(fd), *modules], pass_fds=[fd])

    def close():
        ours.close()
        process.wait(30)

    atexit.register(close)
    return ours
