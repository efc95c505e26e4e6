"""Notices that a file, the configuration above all, holds something else than before, however that came about.

What is watched is the directory, not the file: a watch on a file goes deaf when an editor replaces it. Where links lead to the file,
the directories they stand in are watched too (a ConfigMap is swapped by moving a link in the middle), and where a directory is missing,
the one it was in. What counts is the content: events without a change are nothing, and a slow look now and then finds what no event told.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from watchfiles import awatch

from mlxd.config.document import read_regular
from mlxd.errors import ConfigError

POLL = 5.0  # seconds between two looks without an event
_SETTLE = 0.05  # seconds; a file that was read twice the same so far apart is not being written
_TELL_AGAIN = 0.5  # seconds, while those who are told have not read it: a reload that takes long reads it when it is done
_MOST_LINKS = 40  # on the way; more are a loop, to the system too

_log = structlog.get_logger(__name__)


class FileWatcher:
    """The watcher calls ``changed`` on the event loop whenever the content differs from what was seen last, here or by others.

    It begins with ``seen``, a SHA-256; ``last_read`` is that of what others read last, None where they could not. A file that is gone or
    cannot be read is no change: what runs goes on, until it is back.
    """

    subject = "config"  # what the log calls the file

    def __init__(
        self,
        path: Path,
        changed: Callable[[], None],
        *,
        seen: str,
        last_read: Callable[[], str | None] | None = None,
        poll: float = POLL,
    ) -> None:
        self._path = path.absolute()
        self._changed = changed
        self._seen: str | None = seen
        self._last_read = last_read
        self._poll = poll
        self._trouble = ""  # why it could not be read

    async def run(self) -> None:
        """Tells of each change of the file, until it is cancelled."""
        while True:
            way = way_to(self._path)
            try:
                await self._watch(way)
            except (OSError, RuntimeError) as error:  # a directory vanished just now; or the system has no watch left
                if way_to(self._path) == way:
                    _log.warning(f"{self.subject}_watch_failed", reason=str(error), poll=self._poll)
                    await asyncio.sleep(self._poll)

    async def _watch(self, way: "Way") -> None:
        """Waits until something has changed: another way has to be watched then, or the same one anew, for a directory may be another."""
        async with contextlib.aclosing(_events(way)) as events:
            event = asyncio.ensure_future(anext(events))
            try:
                await asyncio.sleep(0)  # it has begun to watch: what happens from here on is told, and before is looked at
                while not await self._look() and way_to(self._path) == way:
                    await asyncio.wait({event}, timeout=self._poll)
                    if event.done():
                        event.result()
                        event = asyncio.ensure_future(anext(events))
            finally:
                event.cancel()
                await asyncio.gather(event, return_exceptions=True)

    async def _look(self) -> bool:
        """Tells whether there was something new."""
        found = await self._settled_digest()
        is_known = found == self._seen
        if is_known and (found is None or self._last_read is None or self._last_read() == found):
            return False
        self._seen = found
        if found is None:
            _log.warning(f"{self.subject}_file_unreadable", path=str(self._path), reason=self._trouble)
        else:
            self._changed()
        if is_known:
            await asyncio.sleep(_TELL_AGAIN)
        return True

    async def _settled_digest(self) -> str | None:
        """Returns the digest of a file that nobody is writing just now; None where it cannot be read."""
        found = await asyncio.to_thread(self._digest)
        while found != self._seen:
            await asyncio.sleep(_SETTLE)
            again = await asyncio.to_thread(self._digest)
            if again == found:
                break
            found = again
        return found

    def _digest(self) -> str | None:
        try:
            return hashlib.sha256(read_regular(self._path)).hexdigest()
        except ConfigError as error:
            self._trouble = str(error)
        return None


@dataclass(frozen=True)
class Way:
    """What has to be watched to notice when a path leads to something else. ``directories`` have their identities, for one may be replaced;
    only ``names`` in them matter: what else happens there (a log grows) is nothing to us.
    """

    directories: frozenset[tuple[Path, int, int]]
    names: frozenset[str]


def way_to(path: Path) -> Way:
    """Returns the directory of the file and that of each link on the way; where something is missing, what is there of the way.

    Links in the root directory belong to the system and are left out: to watch ``/`` is on some systems to watch everything.
    """
    directories: set[Path] = set()
    names: set[str] = set()
    current, ahead, links = Path(path.anchor), [*reversed(path.parts[1:])], 0
    while ahead:
        name = ahead.pop()
        entry = current / name
        names.add(name)
        if name == "..":
            current = current.parent
        elif os.path.islink(entry) and links < _MOST_LINKS:  # noqa: PTH114 - unlike Path's, it never raises
            links += 1
            if current != Path(path.anchor):
                directories.add(current)
            with contextlib.suppress(OSError):  # it is gone again
                ahead += reversed(entry.readlink().parts)
        elif ahead and os.path.isdir(entry):  # noqa: PTH112 - as above
            current = entry
        else:
            directories.add(current)
            break
    return Way(frozenset(_identified(directory) for directory in directories), frozenset(names))


def _identified(directory: Path) -> tuple[Path, int, int]:
    try:
        found = directory.stat()
    except OSError:  # gone; to watch it will fail
        return directory, 0, 0
    return directory, found.st_dev, found.st_ino


def _events(way: Way) -> AsyncGenerator[object, None]:
    return awatch(
        *(directory for directory, _, _ in way.directories),
        watch_filter=lambda _, changed: Path(changed).name in way.names,
        recursive=False,
        debounce=200,
        step=50,
        ignore_permission_denied=True,
    )
