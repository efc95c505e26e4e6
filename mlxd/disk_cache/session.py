"""A directory from when it is opened until it cannot be used any more: a thread that writes, and one that reads."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from mlxd.disk_cache.counts import Counts
from mlxd.disk_cache.directory import BudgetSpentError, CacheDirectory, Terms, TooLargeError, UnusableDirectoryError, discard_index
from mlxd.disk_cache.files import Files
from mlxd.disk_cache.identity import Identity
from mlxd.disk_cache.index import is_damage
from mlxd.disk_cache.pulse import Pulse
from mlxd.disk_cache.reading import Found, Reading
from mlxd.disk_cache.shelf import Shelf, most_bytes
from mlxd.disk_cache.tier import Spilled
from mlxd.disk_cache.trouble import DISK_ERRORS, Trouble, told, trouble
from mlxd.disk_cache.write_queue import WriteQueue
from mlxd.disk_terms import DiskDrop, DiskError, DiskState


class ClosedError(Exception):
    """Nobody wants the session any more."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a session is opened with. ``device`` is the disk it was on before, if it was: on another one it is not opened."""

    path: Path
    identity: Identity
    model: str
    device: int | None = None


@dataclass(frozen=True, kw_only=True)
class Means:
    """What all sessions of a tier share. ``lost`` are extents that cannot be read, which the next session removes."""

    files: Files
    counts: Counts
    pauses: "Pauses"
    queue_bytes: int
    lost: deque[int]


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """Seconds: before the first try after a failure, which doubles up to the second; how long a disk may not answer; and between two looks
    at what others did to the directory.
    """

    first: float = 1.0
    longest: float = 60.0
    patience: float = 15.0
    looks: float = 2.0


class Session:
    """A directory in use. ``changed`` is called, by any of its threads, when its state is another."""

    def __init__(self, place: Place, terms: Terms, means: Means, changed: Callable[[], None]) -> None:
        self.state = DiskState.OPENING
        self.reason = "it looks at what is there"
        self.proved = False  # something was written or read
        self.device: int | None = None
        self.queue = WriteQueue(means.queue_bytes)
        self.terms = terms
        self.path = place.path
        self._place = place
        self._files = means.files
        self._counts = means.counts
        self._pauses = means.pauses
        self._lost = means.lost
        self._changed = changed
        self._reading = Reading(means.counts, self._lose, self._fail)
        self._pulse = Pulse()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._shelf: Shelf | None = None
        self._terms_told = terms
        self._budget_until = 0.0
        self._probe_at = 0.0
        self._look_at = 0.0
        self._pause = means.pauses.first
        self._threads = [threading.Thread(target=self._write_all, name="disk-writer", daemon=True)]

    def start(self) -> None:
        self._threads[0].start()

    @property
    def shelf(self) -> Shelf | None:
        """Returns what is there, once it is open and while it can be read."""
        return self._shelf if self.state in {DiskState.ON, DiskState.READ_ONLY} else None

    @property
    def has_ended(self) -> bool:
        """Tells whether it failed, or was closed."""
        return self.state is DiskState.OFF

    @property
    def refusal(self) -> DiskDrop | None:
        """Returns why nothing is taken to be written, if so."""
        if self.state is not DiskState.ON:
            return DiskDrop.STATE
        return DiskDrop.BUDGET if time.monotonic() < self._budget_until else None

    def read(self, digests: Sequence[bytes]) -> Future[Found]:
        return self._reading.ask(digests)

    def retry(self) -> None:
        """Makes it try at once what failed."""
        self._probe_at = self._budget_until = 0.0
        self.queue.poke()

    def is_stuck(self) -> bool:
        """Tells whether the disk does not answer."""
        return max(self._pulse.waiting(), self._reading.pulse.waiting()) > self._pauses.patience

    def is_alive(self) -> bool:
        """Tells whether one of its threads runs."""
        return any(thread.is_alive() for thread in self._threads)

    def close(self, state: DiskState = DiskState.OFF, reason: str = "it was closed") -> None:
        """Ends it, without waiting for the disk."""
        self._leave(state, reason)
        self._closed.set()
        self._reading.close()
        self._counts.drop(DiskDrop.STATE, self.queue.clear())
        self.queue.poke()

    def join(self, seconds: float) -> None:
        """Waits for its threads, for so long at most."""
        until = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))

    # ---- on the writing thread ----

    def _write_all(self) -> None:
        shelf: Shelf | None = None
        try:
            shelf = self._open()
            while not self._closed.is_set():
                self._turn(shelf)
        except ClosedError:
            pass
        except Exception as error:  # noqa: BLE001 - the thread's last resort: a damaged index may say anything
            self._counts.fail(DiskError.OPEN if self._shelf is None else DiskError.WRITE)
            self._fail(error)
            self._discard_what_is_damaged(error)
        finally:
            self._pulse.rest()
            if shelf is not None:
                shelf.directory.close()

    def _open(self) -> Shelf:
        self._beat()
        directory = CacheDirectory.create(self._place.path, self._files)
        try:
            self._check_device(directory.device)
            self.device = directory.device
            directory.shrink(self.terms)
            self._enter(DiskState.OPENING, "it hashes the model's files")
            shelf = Shelf.of(directory, self._place.identity, self._place.model, self._counts, self._beat)
        except BaseException:
            directory.close()
            raise
        self._shelf = shelf
        reader = threading.Thread(target=self._read_all, args=(shelf,), name="disk-reader", daemon=True)
        self._threads.append(reader)
        reader.start()
        self._enter(DiskState.ON)
        return shelf

    def _read_all(self, shelf: Shelf) -> None:
        try:
            self._reading.run(shelf.directory, shelf.identity, shelf.catalogue)
        except Exception as error:  # noqa: BLE001 - likewise: whoever waits is answered
            self._counts.fail(DiskError.READ)
            self._fail(error)

    def _check_device(self, device: int) -> None:
        """Where the disk is not mounted, its directory may be there all the same."""
        if self._place.device not in {None, device}:
            raise UnusableDirectoryError(f"{self._place.path} is on another disk than before: restart the model to use it there")

    def _discard_what_is_damaged(self, error: Exception) -> None:
        if is_damage(error) or not isinstance(error, DISK_ERRORS):
            with contextlib.suppress(OSError):
                discard_index(self._place.path, self._files)

    def _beat(self) -> None:
        if self._closed.is_set():
            raise ClosedError
        self._pulse.beat()

    def _turn(self, shelf: Shelf) -> None:
        """Does what there is to do, once. What fills the disk, or is busy, fails nothing but itself."""
        self._pulse.rest()
        batch = self.queue.take(most_bytes(self.terms), self._pauses.looks)
        self._beat()
        try:
            self._tend(shelf)
            if batch:
                self._store(shelf, batch)
        except DISK_ERRORS as error:
            if trouble(error) is Trouble.GONE:
                raise
            self._counts.fail(DiskError.WRITE)
            self._counts.drop(DiskDrop.STATE, len(batch))
            if trouble(error) is Trouble.FULL:
                self._pause_writing(told(error))
        finally:
            self.queue.done(batch)

    def _tend(self, shelf: Shelf) -> None:
        if self._terms_told is not self.terms:
            terms = self.terms
            shelf.shrink(terms)
            self._terms_told = terms
        if self.state is DiskState.READ_ONLY:
            if time.monotonic() < self._probe_at:
                return
            shelf.directory.probe(self.terms)
            self._enter(DiskState.ON)
        if self._lost:
            shelf.remove(self._take_lost())
        if time.monotonic() >= self._look_at:
            shelf.shrink(self.terms)
            shelf.tend()
            self._look_at = time.monotonic() + self._pauses.looks

    def _take_lost(self) -> list[int]:
        return [self._lost.popleft() for _ in range(len(self._lost))]

    def _store(self, shelf: Shelf, batch: Sequence[Spilled]) -> None:
        if self.state is not DiskState.ON:
            self._counts.drop(DiskDrop.STATE, len(batch))
            return
        try:
            shelf.write(batch, self.terms)
        except BudgetSpentError:
            self._budget_until = time.monotonic() + 60 - time.time() % 60
            self._counts.drop(DiskDrop.BUDGET, len(batch) + self.queue.clear())
        except TooLargeError:
            self._counts.drop(DiskDrop.SIZE, len(batch))
        else:
            self.proved, self._pause = True, self._pauses.first

    def _pause_writing(self, reason: str) -> None:
        self._probe_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, self._pauses.longest)
        self._enter(DiskState.READ_ONLY, reason)
        self._counts.drop(DiskDrop.STATE, self.queue.clear())

    # ---- on any thread ----

    def _lose(self, extent: int) -> None:
        """Forgets an extent that cannot be read; the writing thread removes it."""
        if self._shelf is not None:
            self._shelf.catalogue.drop([extent])
        self._lost.append(extent)
        self.queue.poke()

    def _fail(self, error: Exception) -> None:
        self.close(DiskState.OFF, told(error))

    def _enter(self, state: DiskState, reason: str = "") -> None:
        with self._lock:
            if not self._closed.is_set():
                self.state, self.reason = state, reason
        self._changed()

    def _leave(self, state: DiskState, reason: str) -> None:
        """Enters its last state: the first reason stays."""
        with self._lock:
            if self._closed.is_set():
                return
            self.state, self.reason = state, reason
            self._closed.set()
        self._changed()
