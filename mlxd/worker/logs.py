"""A worker's log lines, those of its libraries included, on their way to the daemon's one stream."""

import logging
import warnings
from collections.abc import Callable
from functools import partial
from typing import Literal, cast

from typing_extensions import override

from mlxd.wire.messages import LogRecord

Level = Literal["debug", "info", "warning", "error"]
_LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")


class _Forwarder(logging.Handler):
    def __init__(self, send: Callable[[LogRecord], None]) -> None:
        super().__init__()
        self._send = send

    @override
    def emit(self, record: logging.LogRecord) -> None:
        level = cast("Level", {"CRITICAL": "error"}.get(record.levelname, record.levelname.lower()))
        fields = {"logger": record.name, "message": _shown(record.getMessage)}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = _shown(partial(repr, record.exc_info[1]))
        self._send(LogRecord(level=level if level in _LEVELS else "info", event="library_log", fields=fields))


def _shown(render: Callable[[], str]) -> str:
    """Renders a library's message, which may have arguments that do not fit it, or be no text: that must not end what the library was
    doing.
    """
    try:
        return render().encode(errors="backslashreplace").decode()
    except Exception as error:  # noqa: BLE001 - whatever their __str__ does
        return f"a message that cannot be shown: {type(error).__name__}"


def forward_logs(send: Callable[[LogRecord], None]) -> Callable[[], None]:
    """Sends what libraries log, from "info" on (below, their chatter helps nobody), and their warnings; the daemon's level decides what of
    it comes out. Returns a function that undoes it.
    """
    handler = _Forwarder(send)
    root = logging.getLogger()
    before, show = root.level, warnings.showwarning
    root.addHandler(handler)
    root.setLevel(logging.INFO)

    def show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        fields = {"category": category.__name__, "message": _shown(partial(str, message)), "where": f"{filename}:{lineno}"}
        send(LogRecord(level="warning", event="library_warning", fields=fields))

    warnings.showwarning = show_warning  # type: ignore[assignment]

    def undo() -> None:
        root.removeHandler(handler)
        root.setLevel(before)
        warnings.showwarning = show

    return undo
