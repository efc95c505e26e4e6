"""``mlxd status --watch``: the table again and again in its place, whether or not the daemon is there."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from mlxd.errors import DaemonUnreachableError
from mlxd.terminal.console import cursor_given_back
from mlxd.terminal.status_table import render_status
from mlxd.terminal.values import printable, span


def watch_status(fetch: Callable[[], Mapping[str, Any]], console: Console, interval: float) -> None:
    """Draws what ``fetch`` answers every ``interval`` seconds, until KeyboardInterrupt. The first answer must come."""
    watch = _Watch(fetch)
    live = Live(watch.look(), console=console, auto_refresh=False, vertical_overflow="ellipsis")
    with cursor_given_back(console), live:
        while True:
            time.sleep(interval)
            live.update(watch.look_again(), refresh=True)


class _Watch:
    def __init__(self, fetch: Callable[[], Mapping[str, Any]]) -> None:
        self._fetch = fetch
        self._last: RenderableType = ""
        self._answered = time.monotonic()

    def look(self) -> RenderableType:
        """Renders what the daemon says now. Raises ``DaemonUnreachableError``."""
        self._last = render_status(self._fetch())
        self._answered = time.monotonic()
        return self._last

    def look_again(self) -> RenderableType:
        """Renders what the daemon says now or, while it says nothing, the last it said, and since when."""
        try:
            return self.look()
        except DaemonUnreachableError as error:
            silent = span(time.monotonic() - self._answered)
            notice = Text(f"no answer for {silent}; above is the last one. {printable(error.message)}", style="bold red")
            return Group(self._last, "", notice)
