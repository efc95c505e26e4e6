"""Notices that the configuration file holds something else than before, however that came about.

What is watched is the directory, not the file: a watch on a file goes deaf when an editor replaces it. Where the file is a symbolic
link, the directories on the way to the real file are watched too, and found again after each event (a ConfigMap is swapped by moving
a link in the middle). What counts is the content: events without a change are nothing, and a slow look now and then finds what no
event told.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
from watchfiles import awatch

POLL = 5.0  # seconds between two looks without an event
_SETTLE = 0.05  # seconds; a file that was read twice the same so far apart is not being written
_MOST_LINKS = 16

_log = structlog.get_logger(__name__)


class ConfigWatcher:
    """``changed`` is called on the event loop whenever the content differs from what was seen last, here or by others.

    ``seen``: the SHA-256 to begin with. ``last_read``: that of what others read last, or None if that is not known. A file that is gone
    is no change: what runs goes on, until it is back.
    """

    def __init__(
        self,
        path: Path,
        changed: Callable[[], None],
        *,
        seen: str,
        last_read: Callable[[], str | None] = lambda: None,
        poll: float = POLL,
    ) -> None:
        self._path = path
        self._changed = changed
        self._seen: str | None = seen
        self._last_read = last_read
        self._poll = poll

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            directories = watched_directories(self._path)
            if not directories:
                await asyncio.sleep(self._poll)
                continue
            await self._watch(directories)

    async def _watch(self, directories: frozenset[Path]) -> None:
        """Until other directories have to be watched."""
        await self._look()  # at what happened while nobody watched
        names = names_on_the_way(self._path)
        events = awatch(
            *directories,
            watch_filter=lambda _, changed: Path(changed).name in names,
            recursive=False,
            debounce=200,
            step=50,
            rust_timeout=int(self._poll * 1000),
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        try:
            async for _ in events:
                await self._look()
                if watched_directories(self._path) != directories:
                    return
        except (FileNotFoundError, OSError) as error:  # a directory vanished between listing and watching
            _log.debug("config_watch_restarted", reason=str(error))
            await asyncio.sleep(_SETTLE)

    async def _look(self) -> None:
        found = await self._settled_digest()
        if found == self._seen and (found is None or self._last_read() in (None, found)):
            return
        self._seen = found
        if found is None:
            _log.warning("config_file_missing", path=str(self._path))
        else:
            self._changed()

    async def _settled_digest(self) -> str | None:
        """Of a file that nobody is writing just now."""
        found = await asyncio.to_thread(_digest, self._path)
        while found != self._seen:
            await asyncio.sleep(_SETTLE)
            again = await asyncio.to_thread(_digest, self._path)
            if again == found:
                break
            found = again
        return found


def watched_directories(path: Path) -> frozenset[Path]:
    """The existing directories in which something can happen to what ``path`` leads to: its own, and those of every link on the way."""
    found = {directory for step in _steps(path) for directory in (step.parent, step.parent.resolve())}
    return frozenset(directory for directory in found if directory.is_dir())


def names_on_the_way(path: Path) -> frozenset[str]:
    """Of files, links and directories: what else happens in the watched directories (a log grows) is nothing to us."""
    return frozenset(part for step in _steps(path) for way in (step, step.resolve()) for part in way.parts)


def _steps(path: Path) -> Iterator[Path]:
    """The path, and where each link leads."""
    current = path.absolute()
    yield current
    for _ in range(_MOST_LINKS):
        if not current.is_symlink():
            return
        current = current.parent / current.readlink()
        yield current


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
