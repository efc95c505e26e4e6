"""Constraints for tests: simple rules on bytes, which know what they were told, and by which thread."""

import threading

from typing_extensions import override

from mlxd.worker.engine.constraint import TokenConstraint
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

    @override
    def allowed(self):
        self.threads.add(threading.current_thread().name)
        if len(self.accepted) < self.free:
            return None
        return mask(self._next())

    @override
    def accept(self, token):
        self.threads.add(threading.current_thread().name)
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
