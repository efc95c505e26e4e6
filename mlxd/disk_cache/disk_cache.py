"""The tier: sessions with a directory, one after the other, as the disk allows."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from typing_extensions import override

from mlxd.disk_cache.counts import Counts
from mlxd.disk_cache.directory import SPARE, Terms
from mlxd.disk_cache.files import Files, SystemFiles
from mlxd.disk_cache.identity import Identity
from mlxd.disk_cache.reading import Found
from mlxd.disk_cache.session import Means, Pauses, Place, Session
from mlxd.disk_cache.tier import DiskTier, Spilled
from mlxd.disk_terms import DiskDrop, DiskFigures, DiskSettings, DiskState

_NOT_WANTED = "it is not configured"
_HUNG = "the disk does not answer"
_WATCHED_EVERY = 1.0  # seconds
_LOST = 1024  # extents that could not be read, and are still to be removed
_CLOSING = 2.0  # seconds that the end waits for a disk


class DiskCache(DiskTier):
    """A cache on disk. A thread of its own, which touches no disk, has the directory opened, notices when it does not answer, and tries
    again after a failure: each time after a longer pause, or at once when it is reconfigured.
    """

    def __init__(  # noqa: PLR0913 - what it is, and what tests replace
        self,
        model: str,
        identity: Identity,
        settings: DiskSettings | None,
        *,
        queue_bytes: int,
        files: Files | None = None,
        pauses: Pauses | None = None,
        spare: int = SPARE,
    ) -> None:
        self._model = model
        self._identity = identity
        self._settings = settings
        self._counts = Counts()
        self._pauses = pauses or Pauses()
        self._means = Means(
            files=files or SystemFiles(), counts=self._counts, pauses=self._pauses, queue_bytes=queue_bytes, lost=deque(maxlen=_LOST)
        )
        self._spare = spare
        self._changed = threading.Condition()
        self._session: Session | None = None
        self._reason = _NOT_WANTED
        self._device: int | None = None
        self._news = 0  # how often it was reconfigured
        self._closed = False
        self._keeper = threading.Thread(target=self._keep, name="disk-keeper", daemon=True)
        self._keeper.start()

    @override
    def wait_until_open(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(self._is_told, seconds)

    @override
    def known(self, digests: Sequence[bytes]) -> int:
        shelf = self._session and self._session.shelf
        return shelf.catalogue.known(digests) if shelf else 0

    @override
    def room(self) -> int:
        session = self._session
        return session.queue.room if session and session.refusal is None else 0

    @override
    def write(self, blocks: Sequence[Spilled]) -> int:
        session = self._session
        refusal = session.refusal if session else DiskDrop.STATE
        if session is None or refusal is not None:
            self._counts.drop(refusal or DiskDrop.STATE, len(blocks))
            return 0
        taken = session.queue.offer(blocks, self.known)
        self._counts.drop(DiskDrop.QUEUE, len(blocks) - taken)
        self.touch([block.digest for block in blocks[:taken]])
        return taken

    @override
    def read(self, digests: Sequence[bytes]) -> Future[Found]:
        session = self._session
        if session and session.shelf:
            return session.read(digests)
        nothing: Future[Found] = Future()
        nothing.set_result(())
        return nothing

    @override
    def touch(self, digests: Sequence[bytes]) -> None:
        if shelf := self._session and self._session.shelf:
            shelf.catalogue.use(digests)

    @override
    def reconfigure(self, settings: DiskSettings | None) -> None:
        with self._changed:
            before, self._settings = self._settings, settings
            self._news += 1
            self._device = None  # whoever says so now means the disk that is there now
            session = self._session
            if session and before and settings and before.path == settings.path:
                session.terms = self._terms(settings)
                session.retry()
            self._changed.notify_all()

    @override
    def figures(self) -> DiskFigures:
        session, settings = self._session, self._settings
        shelf = session and session.shelf
        held = shelf.catalogue.held() if shelf else None
        return DiskFigures(
            state=session.state if session else DiskState.OFF,
            reason=session.reason if session else self._reason,
            blocks=held.blocks if held else 0,
            bytes=held.size if held else 0,
            directory_bytes=shelf.directory_size if shelf else 0,
            limit_bytes=settings.limit if settings else 0,
            queued_bytes=session.queue.size if session else 0,
            dropped_blocks=self._counts.dropped(),
            errors=self._counts.errors(),
            **self._counts.numbers(),
        )

    @override
    def settle(self, seconds: float) -> bool:
        session = self._session
        return session.queue.settle(seconds) if session else True

    @override
    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._keeper.join(_CLOSING)

    # ---- on its own thread ----

    def _keep(self) -> None:
        pause = self._pauses.first
        while not self._closed:
            news = self._news
            settings = self._settings
            if settings is None:
                self._session = None
                self._wait_for_news(news, None)
                continue
            session = self._lasted(settings, news)
            pause = self._pauses.first if session.proved else pause
            self._wait_for_news(news, pause)
            self._wait_for_the_hung(session)
            pause = min(2 * pause, self._pauses.longest) if news == self._news else self._pauses.first
        self._session = None

    def _lasted(self, settings: DiskSettings, news: int) -> Session:
        """Returns a session that has ended: for it failed, or is not wanted any more."""
        place = Place(path=Path(settings.path), identity=self._identity, model=self._model, device=self._device)
        with self._changed:  # newer terms are told to the session that is there
            newest = self._settings if self._settings and self._settings.path == settings.path else settings
            session = self._session = Session(place, self._terms(newest), self._means, self._tell)
        session.start()
        while not session.has_ended:
            with self._changed:
                if not session.has_ended and self._wants(settings.path):
                    self._changed.wait(_WATCHED_EVERY)
            if not self._wants(settings.path):
                session.close(reason=_NOT_WANTED)
                session.join(_CLOSING)
            elif session.is_stuck():
                session.close(reason=_HUNG)
        device = place.device if session.device is None else session.device
        with self._changed:
            if news == self._news:
                self._device = device
        return session

    def _is_told(self) -> bool:
        """Tells whether a session with the directory has opened it, or has failed to."""
        return self._closed or self._settings is None or (self._session is not None and self._session.state is not DiskState.OPENING)

    def _wants(self, path: str) -> bool:
        return not self._closed and self._settings is not None and self._settings.path == path

    def _wait_for_news(self, news: int, seconds: float | None) -> None:
        until = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while news == self._news and not self._closed and (until is None or time.monotonic() < until):
                self._changed.wait(None if until is None else until - time.monotonic())

    def _wait_for_the_hung(self, session: Session) -> None:
        """Waits for threads that a disk holds, lest there be more of them with each try; a new path does not wait."""
        while session.is_alive() and self._wants(str(session.path)):
            session.join(_WATCHED_EVERY)

    def _terms(self, settings: DiskSettings) -> Terms:
        return Terms(limit=settings.limit, budget=settings.write_budget, spare=self._spare)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
