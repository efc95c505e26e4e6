"""A fault at any line: which lines of some files a scenario passes, and the same scenario with one of them raising.

Python runs everything at a third of its pace while anything is traced, and scenarios are played thousands of times: a function is replaced
by one that has the one call traced in which the fault strikes. What is no plain function is traced all the while.
"""

import inspect
import random
import sys
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType, FunctionType

from tests.support.examples import FACTOR

_NEIGHBOURS = 3


class InjectedError(Exception):
    """Raised instead of a line."""


@dataclass(frozen=True, order=True)
class Passage:
    """A line of a function, when it is passed for the ``nth`` time, which is the ``nth_of_call`` time in the ``call``th of all calls."""

    file: str
    line: int
    function: str
    nth: int
    code: CodeType = field(compare=False)
    call: int = field(compare=False)
    nth_of_call: int = field(compare=False)

    def __str__(self):
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line} {self.function} (passage {self.nth})"


def passages(modules, play, *, but=frozenset()):
    """Where a fault may strike while ``play`` runs: each line of ``modules`` that it passes, at its middle passage.
    ``but``: names of functions that are left out, with all that is defined in them.
    """
    calls, found = Counter(), defaultdict(list)  # the call of each passage
    files = {module.__file__ for module in modules}

    def called(frame, *_):
        code = frame.f_code
        if code.co_filename not in files:
            return None
        calls[code] += 1
        call = calls[code]

        def passed(frame, event, _):
            if event == "line":
                found[code, frame.f_lineno].append(call)
            return passed

        return passed

    with _tracing(called):
        play()
    middle = [_middle(code, line, times) for (code, line), times in found.items()]
    return sorted(one for one in middle if but.isdisjoint(one.function.split(".")))


def some_of(passages, neighbours=_NEIGHBOURS):
    """One of so many neighbours each, others in each run: faults at lines that follow one another mostly do the same. With
    ``MLXD_EXAMPLES=3``, or as many as there are neighbours, all of them.
    """
    step = max(1, round(neighbours / FACTOR))
    return passages[random.randrange(step) :: step]  # noqa: S311 - which, is no secret


def _middle(code, line, times):
    nth = (len(times) + 1) // 2
    call = times[nth - 1]
    return Passage(code.co_filename, line, code.co_qualname, nth, code, call, times[:nth].count(call))


@contextmanager
def fault_at(passage):
    """The line raises ``InjectedError`` once. Gives a list that is empty until then."""
    function, struck = _function(passage), []
    if function is None:
        with _tracing(_in_all_calls(passage, struck)):
            yield struck
    else:
        with _replaced(function, _striking(function, passage, struck)):
            yield struck


def _in_all_calls(passage, struck):
    strike = _strike(passage, passage.nth, struck)
    return lambda frame, *_: strike if frame.f_code is passage.code else None


def _in_next_call(passage, struck):
    """And in none that this one makes."""
    strikes = [_strike(passage, passage.nth_of_call, struck)]
    return lambda frame, *_: strikes.pop() if strikes and frame.f_code is passage.code else None


def _strike(passage, left, struck):
    """A trace function by which the line raises when it is passed for the ``left``th time; nothing is traced from then on, as Python has
    it.
    """

    def strike(frame, event, _):
        nonlocal left
        if event == "line" and frame.f_lineno == passage.line:
            left -= 1
            if not left:
                struck.append(passage)
                raise InjectedError(str(passage))
        return strike

    return strike


def _striking(function, passage, struck):
    """What ``function`` does, but for the fault."""
    original = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    original.__kwdefaults__ = function.__kwdefaults__
    left = passage.call

    def instead(*args, **kwargs):
        nonlocal left
        left -= 1
        if left:
            return original(*args, **kwargs)
        with _tracing(_in_next_call(passage, struck)):
            return original(*args, **kwargs)

    return instead


def _relay(*args, **kwargs):
    called = "instead"
    return called(*args, **kwargs)


@contextmanager
def _replaced(function, instead):
    """Whoever has ``function`` calls ``instead``."""
    code = function.__code__
    constants = tuple(instead if one == "instead" else one for one in _relay.__code__.co_consts)
    function.__code__ = _relay.__code__.replace(co_consts=constants)
    try:
        yield
    finally:
        function.__code__ = code


def _function(passage):
    """The function that the passage is in, if it is a plain one."""
    code = passage.code
    if "<locals>" in code.co_qualname or code.co_freevars or code.co_flags & _SUSPENDED:
        return None
    module = next(module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == code.co_filename)
    found = module
    for name in code.co_qualname.split("."):
        found = vars(found).get(name)
        if found is None:
            return None
    found = _plain(found)
    return found if isinstance(found, FunctionType) and found.__code__ is code else None


_SUSPENDED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def _plain(found):
    """What a property, or a method of a class, calls."""
    if isinstance(found, property):
        return found.fget
    if isinstance(found, cached_property):
        return found.func
    return getattr(found, "__func__", found)


@contextmanager
def _tracing(called):
    before = sys.gettrace()
    sys.settrace(called)
    try:
        yield
    finally:
        sys.settrace(before)
