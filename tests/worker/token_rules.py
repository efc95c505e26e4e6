"""Constraints for tests: simple rules on bytes, which know what they were told, and by which thread."""

import contextlib
import copy
import threading

from typing_extensions import override

from mlxd.worker.engine.constraint import TokenConstraint
from tests.support.patience import PATIENCE
from tests.support.tiny_model import EOS, VOCAB


def mask(tokens, size=VOCAB):
    words = bytearray(4 * -(-size // 32))
    for token in tokens:
        words[token // 8] |= 1 << token % 8
    return bytes(words)


class Digits(TokenConstraint):
    """Digits alternate with letters of ``letters``; ``length`` tokens, then the end. What does not fit is not accepted."""

    def __init__(self, length=10**9, letters=b"abc", free=0):
        self.length = length
        self.letters = letters
        self.free = free  # tokens at the beginning that may be anything
        self.accepted = []
        self.threads = set()
        self.user = threading.Lock()  # nobody waits for it

    @override
    def allowed(self):
        with self._used_by_one():
            return self._allowed()

    def _allowed(self):
        if len(self.accepted) < self.free:
            return None
        return mask(self._next())

    @contextlib.contextmanager
    def _used_by_one(self):
        self.threads.add(threading.current_thread().name)
        assert self.user.acquire(blocking=False), "two threads use it at once"
        yield
        self.user.release()

    @override
    def accept(self, token):
        with self._used_by_one():
            self._accept(token)

    @override
    def copy(self):
        with self._used_by_one():
            other = copy.copy(self)
            other.accepted, other.user = list(self.accepted), threading.Lock()
            return other

    def _accept(self, token):
        if len(self.accepted) >= self.free and token not in self._next():
            raise AssertionError(f"{token} was sampled by an old mask")
        self.accepted.append(token)

    def _next(self):
        if len(self.accepted) >= self.length:
            return [EOS]
        return self.letters if len(self.accepted) % 2 else b"0123456789"


class Breaks(Digits):
    """Raises at its ``at``-th token, when asked to ``do`` something."""

    def __init__(self, do, at):
        super().__init__()
        self.do = do
        self.at = at

    @override
    def allowed(self):
        if self.do == "allowed" and len(self.accepted) == self.at:
            raise ValueError("no token fits the grammar")
        return mask([]) if self.do == "nothing" and len(self.accepted) == self.at else super().allowed()

    @override
    def accept(self, token):
        if self.do == "accept" and len(self.accepted) == self.at - 1:
            raise ValueError("no token fits the grammar")
        super().accept(token)


class Held(Digits):
    """Takes, from its ``at``-th token on, until ``release`` is set to say what may come."""

    def __init__(self, at, **rules):
        super().__init__(**rules)
        self.at = at
        self.release = threading.Event()

    @override
    def _allowed(self):
        if len(self.accepted) >= self.at:
            assert self.release.wait(PATIENCE)
        return super()._allowed()


class BreaksLate(Held):
    """Raises instead."""

    @override
    def _allowed(self):
        allowed = super()._allowed()
        if len(self.accepted) >= self.at:
            raise ValueError("no token fits the grammar")
        return allowed
