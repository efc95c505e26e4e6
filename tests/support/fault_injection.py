"""A fault at any line: which lines of some files a scenario passes, and the same scenario with one of them raising."""

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType


class InjectedError(Exception):
    """Raised instead of a line."""


@dataclass(frozen=True, order=True)
class Passage:
    """A line of a function, when it is passed for the ``nth`` time."""

    file: str
    line: int
    function: str
    nth: int
    code: CodeType = field(compare=False)

    def __str__(self):
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line} {self.function} (passage {self.nth})"


def passages(modules, play, *, but=frozenset()):
    """Where a fault may strike while ``play`` runs: each line of ``modules`` that it passes, at its middle passage.
    ``but``: names of functions that are left out, with all that is defined in them.
    """
    counts = Counter()
    files = {module.__file__ for module in modules}

    def count(frame, event, _):
        if event == "line":
            counts[frame.f_code, frame.f_lineno] += 1
        return count

    with _tracing(lambda frame, *_: count if frame.f_code.co_filename in files else None):
        play()
    found = [Passage(code.co_filename, line, code.co_qualname, (times + 1) // 2, code) for (code, line), times in counts.items()]
    return sorted(one for one in found if but.isdisjoint(one.function.split(".")))


@contextmanager
def fault_at(passage):
    """The line raises ``InjectedError`` once. Only calls of its function are traced, and none from then on, as Python has it: scenarios
    are played hundreds of times.
    """
    line, code, left = passage.line, passage.code, passage.nth

    def strike(frame, event, _):
        nonlocal left
        if event == "line" and frame.f_lineno == line:
            left -= 1
            if not left:
                raise InjectedError(str(passage))
        return strike

    def called(frame, _event, _):
        return strike if frame.f_code is code else None

    with _tracing(called):
        yield


@contextmanager
def _tracing(called):
    before = sys.gettrace()
    sys.settrace(called)
    try:
        yield
    finally:
        sys.settrace(before)
