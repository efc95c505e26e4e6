"""Blocks that are asked for, and the thread that reads them."""

import contextlib
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError

from mlxd.disk_cache.catalogue import Catalogue
from mlxd.disk_cache.counts import Counts
from mlxd.disk_cache.directory import CacheDirectory
from mlxd.disk_cache.extent import CorruptExtentError, ExtentReader
from mlxd.disk_cache.pulse import Pulse
from mlxd.disk_cache.tier import Spilled
from mlxd.disk_terms import DiskError

Found = tuple[Spilled, ...]


class Request:
    """Blocks that somebody waits for. It is answered once, by whoever is first."""

    def __init__(self, digests: Sequence[bytes]) -> None:
        self.digests = tuple(digests)
        self.future: Future[Found] = Future()

    def begin(self) -> bool:
        """Tells whether it is still wanted; from then on it cannot be cancelled."""
        with contextlib.suppress(InvalidStateError):
            return self.future.set_running_or_notify_cancel()
        return False

    def answer(self, found: Found = ()) -> None:
        """Hands out what was found."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_result(found)


class Reading:
    """Reads for one session, in one thread. ``lose`` is told an extent that cannot be read, ``fail`` an error after which nothing can."""

    def __init__(self, counts: Counts, lose: Callable[[int], None], fail: Callable[[Exception], None]) -> None:
        self.pulse = Pulse()
        self._counts = counts
        self._lose = lose
        self._fail = fail
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._running: Request | None = None
        self._closed = False

    def ask(self, digests: Sequence[bytes]) -> Future[Found]:
        request = Request(digests)
        self._requests.put(request)
        if self._closed:
            self._give_up()
        return request.future

    def close(self) -> None:
        """Answers everybody: with nothing. It does not wait for the disk."""
        self._closed = True
        self._give_up()
        self._requests.put(None)

    def run(self, directory: CacheDirectory, identity: bytes, catalogue: Catalogue) -> None:
        """Reads what is asked for until it is closed."""
        while not self._closed and (request := self._requests.get()) is not None:
            if request.begin():
                self._running = request  # whoever closes answers it, or ``_read`` sees that it is closed
                self.pulse.beat()
                request.answer(self._read(request.digests, directory, identity, catalogue))
                self.pulse.rest()
            self._running = None

    def _give_up(self) -> None:
        if running := self._running:
            running.answer()
        with contextlib.suppress(queue.Empty):
            while True:
                if (request := self._requests.get_nowait()) is not None and request.begin():
                    request.answer()

    def _read(self, digests: Sequence[bytes], directory: CacheDirectory, identity: bytes, catalogue: Catalogue) -> Found:
        found: list[Spilled] = []
        number: int | None = None
        reader: ExtentReader | None = None
        try:
            for digest in digests:
                if (place := catalogue.extent(digest)) is None or self._closed:
                    break
                if place != number or reader is None:
                    if reader is not None:
                        reader.close()
                    number, reader = place, None
                    reader = ExtentReader(directory.files, directory.extent_path(place), identity)
                found.append(reader.block(digest))
                self.pulse.beat()
        except (CorruptExtentError, OSError) as error:
            self._report(error, number or 0, directory)
        finally:
            if reader is not None:
                with contextlib.suppress(OSError):
                    reader.close()
        catalogue.use([block.digest for block in found])
        self._counts.add(read_blocks=len(found), read_bytes=sum(block.size for block in found), missed_blocks=len(digests) - len(found))
        return tuple(found)

    def _report(self, error: Exception, extent: int, directory: CacheDirectory) -> None:
        """An extent that is not there was removed by another process, unless all of the directory was."""
        self._lose(extent)
        if isinstance(error, CorruptExtentError):
            self._counts.fail(DiskError.CORRUPT)
        elif not isinstance(error, FileNotFoundError):
            self._counts.fail(DiskError.READ)
            self._fail(error)
        else:
            try:
                directory.check()
            except OSError as gone:
                self._fail(gone)
