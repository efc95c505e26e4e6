"""The two streams of a command, as rich consoles that change nothing of what they are given."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raises what ``mlxd.cli`` understands: the reader has seen enough."""
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError


def output() -> Console:
    """Returns the console of results: standard output."""
    return _Console(highlight=False, markup=False, emoji=False)


def errors() -> Console:
    """Returns the console of progress and of what went wrong: standard error."""
    return _Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


@contextmanager
def cursor_given_back(console: Console) -> Iterator[None]:
    """Surrounds what hides the cursor: it is back whatever ends that, and when. TERM and HUP unwind, as Ctrl-C does."""
    is_main = threading.current_thread() is threading.main_thread()
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if is_main and signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in numbers}
    try:
        yield
    finally:
        console.show_cursor()
        for number, handler in before.items():
            signal.signal(number, handler)
