"""A fault at any line: which lines of some files a scenario passes, and the same scenario with one of them raising."""

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass


class InjectedError(Exception):
    """Raised instead of a line."""


@dataclass(frozen=True, order=True)
class Passage:
    """A line of a function, when it is passed for the ``nth`` time."""

    file: str
    line: int
    function: str
    nth: int = 1

    def __str__(self):
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line} {self.function} (passage {self.nth})"


def passages(modules, play, *, but=frozenset()):
    """Where a fault may strike while ``play`` runs: each line of ``modules`` that it passes, at its middle passage.
    ``but``: names of functions that are left out, with all that is defined in them.
    """
    counts = Counter()
    files = {module.__file__ for module in modules}
    with _tracing(lambda code: code.co_filename in files, lambda line: counts.update([line])):
        play()
    found = [Passage(*line, (count + 1) // 2) for line, count in counts.items()]
    return sorted(one for one in found if but.isdisjoint(one.function.split(".")))


@contextmanager
def fault_at(passage):
    """The line raises ``InjectedError`` once. Only calls of its function are traced: scenarios are played hundreds of times."""
    place, seen = (passage.file, passage.line, passage.function), Counter()

    def strike(line):
        seen.update([line])
        if line == place and seen[line] == passage.nth:
            raise InjectedError(str(passage))

    with _tracing(lambda code: (code.co_qualname, code.co_filename) == (passage.function, passage.file), strike):
        yield


@contextmanager
def _tracing(is_traced, on_line):
    def local(frame, event, _):
        if event == "line":
            on_line((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname))
        return local

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: local if is_traced(frame.f_code) else None)
    try:
        yield
    finally:
        sys.settrace(before)
