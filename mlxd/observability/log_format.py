"""From an event dictionary to a line: what is withheld, and how JSON and console text look."""

import json
from collections.abc import Sequence
from io import StringIO
from itertools import islice
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from mlxd.errors import excerpt

# Fields that hold what people wrote or a model answered: only with ``log.content``.
CONTENT_FIELDS = frozenset({"prompt", "messages", "completion"})
SECRET_FIELDS = frozenset({"authorization", "api_key", "api_keys", "token", "read_token", "admin_token", "password", "secret"})
_FIRST = ("time", "level", "event", "request_id", "model")
_LONGEST = 4_000  # characters of one field, keys of objects left out
_LONGEST_TRACEBACK = 40_000
_LONGEST_CONTENT = 200_000  # of a prompt or an answer
_MULTILINE = frozenset({"exception", "stack"})

# No local variables in tracebacks: they are where prompts and keys would leak from.
_TRACEBACK_AS_DATA = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20))


def withhold_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replaces keys and tokens, whoever logs them, so that none ever appears."""
    for field in SECRET_FIELDS & event.keys():
        event[field] = "<redacted>"
    return event


def withhold_content(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Drops prompts and completions, whoever logs them."""
    for field in CONTENT_FIELDS & event.keys():
        del event[field]
    return event


def cut_long(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Cuts long values: what somebody else wrote may have any length, and a line may not, whoever logs it."""
    return {key: _cut(value, _LONGEST_CONTENT if key in CONTENT_FIELDS else _LONGEST) for key, value in event.items()}


def json_lines() -> Sequence[Processor]:
    """Returns the processors for one JSON object per line, the usual keys first; a traceback is a list of frames."""
    return (_TRACEBACK_AS_DATA, cut_long, _usual_keys_first, structlog.processors.JSONRenderer(serializer=_dumps))


def console_text(*, colors: bool) -> Sequence[Processor]:
    """Returns the processors for aligned text. Control characters are escaped, so that no field can drive the terminal."""
    renderer = structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time", pad_event_to=28, exception_formatter=_cut_traceback)
    return (cut_long, _escape_controls, renderer)


def _cut_traceback(stream: TextIO, exception: Any) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, exception)
    stream.write(excerpt(text.getvalue(), _LONGEST_TRACEBACK))


def _cut(value: Any, most: int) -> Any:
    """Returns the value with ``most`` characters of text at most, in the order in which it is read."""
    if isinstance(value, str):
        return excerpt(value, max(1, most))
    if not isinstance(value, dict | list | tuple):
        return value
    items = list(islice(value.items() if isinstance(value, dict) else enumerate(value), most // 4 + 1))
    kept: list[tuple[Any, Any]] = []
    for key, item in items:
        if most <= 0:
            break
        kept.append((excerpt(key) if isinstance(key, str) else key, _cut(item, most)))
        most -= _length(kept[-1][1]) + 4
    return dict(kept) if isinstance(value, dict) else [item for _, item in kept]


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(4 + _length(item) for item in value.values())
    return sum(4 + _length(item) for item in value) if isinstance(value, list) else 0


def _usual_keys_first(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    first: dict[str, Any] = {key: event[key] for key in _FIRST if key in event}
    return {**first, **event}


class _Quoted:
    """A text that the console renderer shows by its ``repr``."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: value if key in _MULTILINE else _printable(key, value) for key, value in event.items()}


def _printable(key: str, value: Any) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return repr(value)[1:-1] if key in _FIRST else _Quoted(value)


def _dumps(event: EventDict, **_: Any) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=str).decode()
    except (TypeError, ValueError):  # a lone surrogate, a tuple as key: a line all the same
        return json.dumps(event, default=str, skipkeys=True)
