"""Measuring must not change what is measured: a sink that raises would fail the request, or cost the worker, it was told of."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import structlog

_P = ParamSpec("_P")
_R = TypeVar("_R")

_log = structlog.get_logger(__name__)


def harmless(sink: Callable[_P, _R]) -> Callable[_P, _R | None]:
    """Returns a method that returns None instead of raising. Its first failure is logged, with its traceback; such failures are defects of
    ours.
    """
    has_failed = False

    @wraps(sink)
    def never_raises(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        nonlocal has_failed
        try:
            return sink(*args, **kwargs)
        except Exception:  # noqa: BLE001 - whatever it is, it is a defect of the measuring
            if not has_failed:
                _log.exception("telemetry_failed", sink=sink.__name__)
            has_failed = True
            return None

    return never_raises
