"""``python -m tests.support.nursery FD``: has imported what daemons and commands do, and forks at each wish that comes on its socket.

See ``forked``. A child leaves the loop and runs its module as Python would, to the end of the interpreter.
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

_IMPORTED = (
    "mlxd.cli",
    "mlxd.daemon",
    "mlxd.takeover",
    "mlxd.listener.certificates",
    "mlxd.service.wait_for_config",
    "mlxd.terminal.top.session",
    "mlxd.terminal.watch",
)

_MOST = 2**20  # bytes of a wish
_STREAMS = 3


def main(fd):
    """Forks until there is nobody who wishes; returns the arguments of a child, in the child."""
    for module in _IMPORTED:
        importlib.import_module(module)
    wishes = socket.socket(fileno=fd)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGCHLD)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the tests
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()
    children = {}
    while True:
        ready, _, _ = select.select([wishes, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            reap(children)
        if wishes not in ready:
            continue
        wish, fds, _, _ = socket.recv_fds(wishes, _MOST, _STREAMS + 1)
        if not wish:
            end(children)
        if (pid := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for other in (woken, wakes, fds[_STREAMS], *children.values()):
                os.close(other)
            wishes.close()
            return become(json.loads(wish), fds[:_STREAMS])
        children[pid] = fds[_STREAMS]
        for one in fds[:_STREAMS]:
            os.close(one)
        wishes.send(str(pid).encode())


def end(children):
    """Nobody wishes any more. Children that are left are those of tests that were killed, and ended none."""
    for child in children:
        os.kill(child, signal.SIGKILL)
    os._exit(0)


def reap(children):
    """Tells of each child that has ended how it did."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        tells = children.pop(pid)
        os.write(tells, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(tells)


def become(wish, streams):
    """This process is as one that was started."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115 - as Python opens them
    sys.stdout = sys.__stdout__ = open(1, "w", 1 if os.isatty(1) else -1, closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(wish["cwd"])
    os.environ.clear()
    os.environ.update(wish["env"])
    return wish["command"]


if __name__ == "__main__":
    sys.argv[:] = main(int(sys.argv[1]))
    gc.unfreeze()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
