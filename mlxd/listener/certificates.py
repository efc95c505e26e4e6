"""The certificates that listeners serve, and how others take their place while connections go on.

A pair is looked at when the configuration names it and whenever one of its files changes. A bad one never takes the place of a good one:
what was served is served on, the log and ``mlxd status`` say why, and the next change is another try.
"""

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from mlxd.config.certificates import (
    CertificateFacts,
    CertificateFiles,
    CertificateProblem,
    CertificateState,
    certificate_files,
    read_pair,
)
from mlxd.config.loader import LoadedConfig
from mlxd.config.watcher import FileWatcher
from mlxd.errors import ConfigError
from mlxd.listener.tls import new_context

SOON = 14 * 86400.0  # seconds before it expires

_SECOND_LOOK = 1.0  # seconds after which half a change is a bad pair: programs write one file after the other

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Served:
    files: CertificateFiles
    facts: CertificateFacts
    context: ssl.SSLContext


@dataclass(frozen=True)
class PreparedCertificates:
    """What each listener is to serve, by its role, and what is wrong with files that therefore are not served."""

    served: Mapping[str, _Served] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


class Certificates:
    """A store of certificates, made on the event loop. Whoever accepts a connection asks for the context of that moment."""

    def __init__(self) -> None:
        self._now = PreparedCertificates()
        self._paths: frozenset[Path] = frozenset()
        self._other_paths = asyncio.Event()
        self._changed = asyncio.Event()

    def context(self, role: str) -> ssl.SSLContext | None:
        """Returns what a connection to this listener begins with; None where it speaks plain HTTP."""
        served = self._now.served.get(role)
        return None if served is None else served.context

    def states(self) -> tuple[CertificateState, ...]:
        """Returns what is served, and what of it is not what the files hold."""
        now = self._now
        return tuple(CertificateState(role, one.files, one.facts, now.problems.get(role)) for role, one in now.served.items())

    def prepare(self, wanted: Mapping[str, CertificateFiles]) -> PreparedCertificates:
        """Reads the files; to be called off the event loop. Files that are served already may be bad now, and stay served as they were.
        Raises ``ConfigError`` for others.
        """
        return _prepare(wanted, self._now.served)

    def current(self) -> PreparedCertificates:
        """Returns what ``swap`` would have to be given to leave all as it is."""
        return self._now

    def swap(self, prepared: PreparedCertificates) -> None:
        """Serves what was prepared from the next connection on."""
        self._serve(prepared)
        self._changed.set()  # files may have changed since they were read, and that may have been noticed already

    def _serve(self, prepared: PreparedCertificates) -> None:
        before, self._now = self._now, prepared
        for role, one in prepared.served.items():
            if before.served.get(role) is not one:
                _tell(role, one)
        for role, problem in prepared.problems.items():
            if before.problems.get(role) != problem:
                _log.error("certificate_refused", listener=role, reason=problem, serving="the one before")
        paths = frozenset(path for one in prepared.served.values() for path in one.files)
        if paths != self._paths:
            self._paths = paths
            self._other_paths.set()

    async def run(self) -> None:
        """Follows the files until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._refresh())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            self._other_paths.clear()
            watchers = [asyncio.create_task(watcher.run()) for watcher in self._watchers()]
            try:
                await self._other_paths.wait()
            finally:
                for watcher in watchers:
                    watcher.cancel()
                await asyncio.gather(*watchers, return_exceptions=True)

    def _watchers(self) -> Iterator[FileWatcher]:
        seen = {
            path: digest
            for one in self._now.served.values()
            for path, digest in zip((one.files.certificate, one.files.key), one.facts.digests, strict=True)
        }
        for path, digest in seen.items():
            yield _CertificateWatcher(path, self._changed.set, seen=digest)

    async def _refresh(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            found = await self._look()
            if found.problems:
                await asyncio.sleep(_SECOND_LOOK)
                self._changed.clear()
                found = await self._look()
            self._serve(found)

    async def _look(self) -> PreparedCertificates:
        """Returns what the files hold that are served now; a reload may put others in their place meanwhile."""
        while True:
            now = self._now
            found = await asyncio.to_thread(_prepare, {role: one.files for role, one in now.served.items()}, now.served)
            if self._now is now:
                return found


def check_certificates(loaded: LoadedConfig) -> None:
    """Looks at every pair that a configuration names. Raises ``ConfigError`` with all that cannot be served, and their lines."""
    problems = []
    for files in dict.fromkeys(certificate_files(loaded.config).values()):
        try:
            _load(files, None)
        except CertificateProblem as problem:
            key = f"{files.table}.{problem.field}"
            problems.append(f"{loaded.path}:{loaded.provenance.get(key, 1)}: {key}: {problem}")
    if problems:
        raise ConfigError(problems)


class _CertificateWatcher(FileWatcher):
    subject = "certificate"


def warnings_about(facts: CertificateFacts, now: float) -> Iterator[tuple[str, str]]:
    """Yields what is doubtful about a pair that can be served: an event of the log, and a sentence for people."""
    when = _date(facts.expires)
    if now >= facts.expires:
        yield "certificate_expired", f"its certificate has expired on {when}: clients refuse it"
    elif now >= facts.expires - SOON:
        yield "certificate_expires_soon", f"its certificate expires on {when}"
    if now < facts.valid_from:
        yield "certificate_not_yet_valid", f"its certificate is valid from {_date(facts.valid_from)} on: clients refuse it until then"
    if facts.key_is_exposed:
        yield "certificate_key_exposed", "everybody on this machine may read its private key: chmod 600"


def _prepare(wanted: Mapping[str, CertificateFiles], served: Mapping[str, _Served]) -> PreparedCertificates:
    found, kept, problems = dict[str, _Served](), dict[str, str](), list[str]()
    for role, files in wanted.items():
        before = served.get(role)
        try:
            found[role] = _load(files, before)
        except CertificateProblem as problem:
            text = f"{files.table}.{problem.field}: {problem}"
            if before is not None and before.files == files:
                found[role], kept[role] = before, text
            else:
                problems.append(text)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return PreparedCertificates(found, kept)


def _load(files: CertificateFiles, before: _Served | None) -> _Served:
    facts = read_pair(files)
    if before is not None and (before.files, before.facts) == (files, facts):
        return before  # and with it the sessions that clients may resume
    return _Served(files, facts, new_context(files))


def _tell(role: str, one: _Served) -> None:
    path = str(one.files.certificate)
    _log.info("certificate_loaded", listener=role, path=path, names=list(one.facts.names[:10]), expires=_date(one.facts.expires))
    for event, text in warnings_about(one.facts, time.time()):
        _log.warning(event, listener=role, path=path, reason=text)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
