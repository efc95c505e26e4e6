"""``python -m tests.support.nursery FD [MODULE…]``: has imported what daemons and commands do, and forks at each wish that comes on its
socket.

See ``forked``. A child leaves the loop and runs its module as Python would, to the end of the interpreter. A daemon is given a nursery of
its own first, one for its workers: they begin as it did.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path

from tests.support.wishes import MOST, STREAMS, Wish

_IMPORTED = (
    "mlxd.cli",
    "mlxd.daemon",
    "mlxd.takeover",
    "mlxd.listener.certificates",
    "mlxd.service.wait_for_config",
    "mlxd.terminal.top.session",
    "mlxd.terminal.watch",
    "tests.support.fake_worker",
    "httpx2",  # and not the hub's own library, which reads the environment once
    "yaml",
    "tqdm",
)

_SIGNALS = (signal.SIGINT, signal.SIGCHLD)
_SETTLE = 0.5  # seconds that a daemon's watcher waits before it tells of a file: whoever saves one and asks for a reload at once is first


def serve(wishes, end):
    """Forks until there is nobody who wishes, then calls ``end`` with the ids of the children that are left; returns the arguments of a
    child, in the child.
    """
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the tests
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    children = {}
    while True:
        ready, _, _ = select.select([wishes, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            reap(children)
        if wishes not in ready:
            continue
        wish, fds, _, _ = socket.recv_fds(wishes, MOST, STREAMS + 2)
        if not wish:
            end(children)
            os._exit(0)
        tells, streams, passed = fds[0], fds[1 : STREAMS + 1], fds[STREAMS + 1 :]
        if (pid := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for other in (woken, wakes, tells, *children.values()):
                os.close(other)
            wishes.close()
            return become(Wish(**json.loads(wish)), streams, passed)
        children[pid] = tells
        for one in (*streams, *passed):
            os.close(one)
        os.write(tells, f"{pid}\n".encode())


def kill(children):
    """Children that are left are those of tests that were killed, and ended none."""
    for child in children:
        os.kill(child, signal.SIGKILL)


def leave(children):
    """What becomes of workers whose daemon is gone is their own affair."""


def reap(children):
    """Tells of each child that has ended how it did."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        tells = children.pop(pid)
        os.write(tells, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(tells)


def become(wish, streams, passed):
    """This process is as one that was started. Returns its arguments, the module or the file first."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115 - as Python opens them
    sys.stdout = sys.__stdout__ = open(1, "w", 1 if os.isatty(1) else -1, closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(wish.cwd)
    os.environ.clear()
    os.environ.update(wish.env)
    if wish.leads:
        os.setsid()
    command = [*wish.command, *map(str, passed)]
    return with_nursery(command) if wish.nursery else command


def with_nursery(command):
    """A daemon's workers are forked from a process that the daemon leaves behind before it has threads."""
    from tests.support import forked_workers  # noqa: PLC0415 - of the daemon's own nursery only

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        with Path(os.devnull).open("r+b") as nothing:
            for number in range(STREAMS):
                os.dup2(nothing.fileno(), number)
        return serve(theirs, leave)
    theirs.close()
    forked_workers.install(ours)
    return command


def main(fd, modules):
    for module in (*_IMPORTED, *modules):
        importlib.import_module(module)
    sys.modules["mlxd.config.watcher"]._SETTLE = _SETTLE
    gc.collect()
    gc.freeze()
    return serve(socket.socket(fileno=fd), kill)


if __name__ == "__main__":
    sys.argv[:] = main(int(sys.argv[1]), sys.argv[2:])
    if sys.argv[0].endswith(".py"):
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
