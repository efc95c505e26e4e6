"""``mlxd top`` on a terminal: what the poller and the keys say, until a person has seen enough."""

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from queue import Empty, SimpleQueue

from rich.console import Console

from mlxd.terminal.admin_client import AdminClient
from mlxd.terminal.console import cursor_given_back
from mlxd.terminal.top.frame import Frame
from mlxd.terminal.top.history import History, Look
from mlxd.terminal.top.keys import decode, key_by_key
from mlxd.terminal.top.poller import Failure, Poller
from mlxd.terminal.top.screen import Screen
from mlxd.terminal.top.view import Key, View

_PATIENCE = 2.0  # seconds an answer may be late before that is said
_TICK = 1.0  # seconds: how often silence is measured


def run_top(client: AdminClient, console: Console, keyboard: int, interval: float) -> None:
    """Draws until somebody quits, hangs up or interrupts. ``keyboard`` is a descriptor. The first answer must come."""
    answers: SimpleQueue[Look | Failure] = SimpleQueue()
    with _bell() as (hear, ring):

        def tell(answer: Look | Failure) -> None:
            answers.put(answer)
            ring()

        poller = Poller(client, interval, tell)
        session = Session(poller.look(), interval)
        with cursor_given_back(console), key_by_key(keyboard), _screen_of_its_own(console), _rung_by_resizing(ring):
            poller.follow(session.chosen)
            poller.start()
            try:
                while not session.is_over:
                    console.update_screen(Screen(session.frame))
                    ready, _, _ = select.select([keyboard, hear], [], [], _TICK)
                    if hear in ready:
                        os.read(hear, 4096)
                        session.take(_all_of(answers))
                    if keyboard in ready:
                        session.type(_typed(keyboard))
                    session.tick(time.monotonic())
                    poller.follow(session.chosen)
            finally:
                poller.stop()


class Session:
    """A session is what is on the screen, and what has happened since."""

    def __init__(self, first: Look, interval: float) -> None:
        self._interval = interval
        self._history = History().after(first)  # goes on while the picture is held still
        self._answered = first.at
        self._failure = ""
        self.frame = Frame(self._history, View())
        self.is_over = False

    @property
    def chosen(self) -> str | None:
        """Returns the model whose requests are wanted."""
        chosen = self.frame.chosen
        return None if chosen is None else str(chosen["id"])

    def take(self, answers: Iterator[Look | Failure]) -> None:
        """Takes in what the poller told."""
        for answer in answers:
            if isinstance(answer, Look):
                self._history, self._answered, self._failure = self._history.after(answer), answer.at, ""
            elif answer.defect is not None:
                raise answer.defect
            else:
                self._failure = answer.message
        self._show()

    def type(self, data: bytes) -> None:
        """Takes in what was typed; nothing at all is the end of the terminal."""
        for key in decode(data):
            self.is_over |= key is Key.QUIT
            self.frame = replace(self.frame, view=self.frame.view.after(key, self.frame.ids))
        self.is_over |= not data
        self._show()

    def tick(self, now: float) -> None:
        """Takes in that time has passed."""
        silent = now - self._answered
        is_late = bool(self._failure) or silent > self._interval + _PATIENCE
        self.frame = replace(self.frame, silent=silent if is_late else None, failure=self._failure)

    def _show(self) -> None:
        if not self.frame.view.is_paused:
            self.frame = replace(self.frame, history=self._history)


def _all_of(answers: "SimpleQueue[Look | Failure]") -> Iterator[Look | Failure]:
    while True:
        try:
            yield answers.get_nowait()
        except Empty:
            return


def _typed(keyboard: int) -> bytes:
    try:
        return os.read(keyboard, 1024)
    except OSError:  # how Linux says that the terminal is gone
        return b""


@contextmanager
def _bell() -> Iterator[tuple[int, Callable[[], None]]]:
    """Yields a descriptor that ``select`` waits for, and what makes it ready. Both stay open: a thread may ring until the program ends."""
    hear, pull = os.pipe()
    os.set_blocking(pull, False)
    yield hear, lambda: _ring(pull)


def _ring(pull: int) -> None:
    try:
        os.write(pull, b"\0")
    except BlockingIOError:
        return  # it rings already


@contextmanager
def _screen_of_its_own(console: Console) -> Iterator[None]:
    """Brings back what stood on the terminal when the block ends. (rich's own ``screen()`` can be interrupted before it would do so.)"""
    try:
        console.set_alt_screen()
        console.show_cursor(show=False)
        yield
    finally:
        console.set_alt_screen(enable=False)


@contextmanager
def _rung_by_resizing(ring: Callable[[], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGWINCH, lambda *_: ring())
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
