"""How a new configuration is taken over.

::

    read once → parse → validate → diff → plan → prepare (may fail: nothing has changed) → commit → each model by itself

Up to the commit it is all or nothing, and one at a time: a trigger that comes meanwhile waits, and reads the file as it is then. After
the commit each model becomes what it is to be; one that cannot is put back to what was good, and the reload says so. So does each later
reload, until the model has become what it is to be: whoever asks for one hears the same, whether or not the watcher was faster. A reload
waits for the models that it changed, and for no others.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import structlog

from mlxd.config.document import decode, read_regular
from mlxd.config.loader import LoadedConfig, parse_config, parse_submitted
from mlxd.control.planner import Plan, Room, plan
from mlxd.errors import ConfigError, MlxdError, ShuttingDownError

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Trigger(StrEnum):
    """The ways to ask for a reload."""

    FILE = "file"
    SIGNAL = "signal"
    API = "api"


class Result(StrEnum):
    """The ways a reload may end."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    PLANNED = "planned"  # a dry run
    FAILED = "failed"  # taken over, but a model could not become what it is to be
    INVALID = "invalid"  # the file has problems; nothing has changed
    REFUSED = "refused"  # it cannot be taken over; nothing has changed
    STALE = "stale"  # what runs is not what the caller thought; nothing has changed

    @property
    def is_good(self) -> bool:
        """Tells whether nothing is wrong."""
        return self in (Result.APPLIED, Result.UNCHANGED, Result.PLANNED)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a reload. ``sha256`` is of what runs now, ``problems`` are lines for people, and ``models`` says why each could not
    become what it is to be.
    """

    result: Result
    sha256: str
    plan: Plan = field(default_factory=Plan)
    problems: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)


def compare(before: LoadedConfig, after: LoadedConfig, room: Room) -> Outcome:
    """Returns what taking over ``after`` would do, while ``before`` runs."""
    found = plan(before, after, room)
    if found.refused:
        problems = tuple(f"{change.name}: a change needs a restart of the daemon" for change in found.refused)
        return Outcome(result=Result.REFUSED, sha256=before.sha256, plan=found, problems=problems)
    return Outcome(result=Result.UNCHANGED if found.is_empty else Result.PLANNED, sha256=before.sha256, plan=found)


@dataclass(frozen=True)
class Standing:
    """How far one model is. ``trouble`` says why it is not what it is to be, also while it is tried again."""

    is_settled: bool = True
    trouble: str | None = None

    @property
    def is_well(self) -> bool:
        """Tells whether the model is what it is to be, or gone."""
        return self.is_settled and self.trouble is None


class Host(Protocol[T]):
    """The one whose configuration it is. ``running`` is the snapshot that is in force."""

    running: LoadedConfig

    def room(self) -> Room:
        """Returns the memory there is."""

    async def prepare(self, new: LoadedConfig, plan: Plan) -> T:
        """Does everything that can fail: bind sockets, look at sources, open files. Raises ``MlxdError``, and then nothing has changed."""

    def commit(self, new: LoadedConfig, prepared: T) -> None:
        """Takes it over, as ``running`` from some moment on. It cannot fail."""

    async def wait_settled(self, models: Collection[str]) -> Mapping[str, str]:
        """Waits until each of ``models`` is what it is to be, or gone; returns those that cannot be, with the reason."""

    def standing(self, model: str) -> Standing:
        """Returns how far a model is now."""


class Reloader(Generic[T]):
    """A reloader, one at a time. ``told`` hears of every reload that was more than a dry run. ``under_way`` is entered from its begin until
    the configuration is taken over or refused; what models do then is not in it.
    """

    def __init__(
        self,
        host: Host[T],
        *,
        told: Callable[[Trigger, Outcome], None],
        under_way: Callable[[], AbstractContextManager[None]] = nullcontext,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.newest = Outcome(result=Result.APPLIED, sha256=host.running.sha256)  # what came of the newest file, as far as it is known
        self.last_read: str | None = host.running.sha256  # of the file, as a reload saw it last; None: it could not be read
        self._host = host
        self._told = told
        self._under_way = under_way
        self._environ = environ
        self._stopped = False
        self._turn = asyncio.Lock()
        self._looks = 0  # so many reloads have said something of the file
        self._requested: set[Trigger] = set()  # by those that do not wait, and not begun yet
        self._tasks: set[asyncio.Task[Outcome]] = set()
        # Models that have not been what they are to be since the daemon, or the reload of that plan, began with them.
        self._unsettled: dict[str, Plan] = dict.fromkeys(host.running.config.models, Plan())
        self._newest_plan = Plan()  # of the last reload that changed anything

    @property
    def is_good(self) -> bool:
        """Tells whether what the newest file says is what runs. A model that could not follow and has become well since does not count."""
        newest = self.newest
        followed = (
            newest.result is Result.FAILED and bool(newest.models) and all(self._host.standing(name).is_well for name in newest.models)
        )
        reloaded = [name for name, plan in self._unsettled.items() if plan.models]  # the others are of the start, of which no reload tells
        return (newest.result.is_good or followed) and all(self._host.standing(name).trouble is None for name in reloaded)

    @property
    def last_problems(self) -> tuple[str, ...]:
        """Says why the newest file is not the running one."""
        return () if self.newest.models else self.newest.problems

    def request(self, trigger: Trigger) -> None:
        """Asks for a reload soon. However often this is called before it begins, it is done once."""
        if trigger not in self._requested and not self._stopped:
            self._requested.add(trigger)
            self._spawn(self._reload(trigger, None))

    async def reload(self, trigger: Trigger, *, if_match: str | None = None) -> Outcome:
        """Takes over the file as it is now, and waits until that is done. ``if_match`` is the SHA-256 that must be running. Once begun it
        goes on, whether or not somebody waits for it. Raises ``ShuttingDownError`` after ``stop``.
        """
        if self._stopped:
            raise _shutting_down()
        reload = self._spawn(self._reload(trigger, if_match))
        await asyncio.wait({reload})
        if reload.cancelled():
            raise _shutting_down()
        return reload.result()

    async def dry_run(self, *, if_match: str | None = None) -> Outcome:
        """Returns what ``reload`` would do. Nothing changes, and nobody is told."""
        outcome, _ = await self._compared(lambda: decode(read_regular(self._host.running.path), self._host.running.path), if_match)
        return outcome

    async def compare(self, text: str) -> Outcome:
        """Returns what taking over ``text`` would do. Nothing that it names is read: secrets are compared by their references."""
        running = self._host.running
        try:
            before = await asyncio.to_thread(parse_submitted, running.text, running.path)
            after = await asyncio.to_thread(parse_submitted, text, running.path)
        except ConfigError as error:
            return Outcome(result=Result.INVALID, sha256=running.sha256, problems=tuple(error.problems))
        return compare(before, after, self._host.room())

    def stop(self) -> None:
        """Gives up what is under way, and begins nothing any more."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    async def _reload(self, trigger: Trigger, if_match: str | None) -> Outcome:
        async with self._turn:
            self._requested.discard(trigger)  # a later one wants the file read again
            with self._under_way():
                outcome = await self._taken_over(if_match)
                look = self._judge(outcome)
        if outcome.result in (Result.APPLIED, Result.UNCHANGED):
            outcome = await self._settled(outcome)
            if look == self._looks:  # else a later one has something newer to say
                self.newest = outcome
        self._told(trigger, outcome)
        return outcome

    def _judge(self, outcome: Outcome) -> int:
        """Keeps what there is to say of the file before models have followed, and returns the number of the look."""
        if outcome.result is not Result.STALE:
            self._looks += 1
            if not (outcome.result.is_good and self.newest.result is Result.FAILED):  # that is so until the models are settled
                self.newest = outcome
        return self._looks

    async def _taken_over(self, if_match: str | None) -> Outcome:
        try:
            return await self._take_over(if_match)
        except Exception as error:  # noqa: BLE001 - of our own: whoever asked must hear of it, and the next reload must come
            _log.exception("reload_crashed")
            problem = f"an internal error, of which the log has the details: {type(error).__name__}: {error}"
            return Outcome(result=Result.FAILED, sha256=self._host.running.sha256, problems=(problem,))

    async def _take_over(self, if_match: str | None) -> Outcome:
        outcome, new = await self._compared(self._read, if_match)
        if new is not None and outcome.result in (Result.PLANNED, Result.UNCHANGED):
            try:
                prepared = await self._host.prepare(new, outcome.plan)
            except MlxdError as error:
                outcome = replace(outcome, result=Result.REFUSED, problems=(error.message,))
            else:
                self._host.commit(new, prepared)
                if outcome.plan.models:
                    self._newest_plan = outcome.plan
                    self._unsettled |= dict.fromkeys((model.name for model in outcome.plan.models), outcome.plan)
                result = Result.APPLIED if outcome.result is Result.PLANNED else Result.UNCHANGED
                outcome = replace(outcome, result=result, sha256=new.sha256)
        return outcome

    async def _compared(self, read: Callable[[], str], if_match: str | None) -> tuple[Outcome, LoadedConfig | None]:
        """Returns what would be done, and the configuration it would be done with, if it is valid."""
        sha256 = self._host.running.sha256
        if if_match not in (None, sha256):
            problem = f"the running configuration is {sha256}, not {if_match}: read it again, and decide again"
            return Outcome(result=Result.STALE, sha256=sha256, problems=(problem,)), None
        try:
            new = await self._parse(read)
        except ConfigError as error:
            return Outcome(result=Result.INVALID, sha256=sha256, problems=tuple(error.problems)), None
        return compare(self._host.running, new, self._host.room()), new

    def _read(self) -> str:
        path, self.last_read = self._host.running.path, None
        data = read_regular(path)
        self.last_read = hashlib.sha256(data).hexdigest()
        return decode(data, path)

    async def _parse(self, read: Callable[[], str]) -> LoadedConfig:
        """Parses off the event loop: a file system may be slow."""
        path, environ = self._host.running.path, self._environ
        return await asyncio.to_thread(lambda: parse_config(read(), path, environ))

    async def _settled(self, outcome: Outcome) -> Outcome:
        """Waits until the models that this reload changed, or the newest one before it where it changed nothing, are what they are to be.
        Nobody waits for others; only what is known of them is told: one that is on its way still, and one that has crashed since it was
        well, is no business of this reload.
        """
        plan = self._newest_plan if outcome.result is Result.UNCHANGED else outcome.plan
        waited = {model.name: self._unsettled[model.name] for model in plan.models if model.name in self._unsettled}
        failed = dict(await self._host.wait_settled(waited)) if waited else {}
        for name, touched in waited.items():
            if name not in failed and self._unsettled.get(name) is touched:  # no later reload has begun with it meanwhile
                del self._unsettled[name]
        failed |= self._known_troubles(but=waited)
        if not failed:
            return outcome
        return replace(outcome, result=Result.FAILED, problems=tuple(f"{name}: {reason}" for name, reason in failed.items()), models=failed)

    def _known_troubles(self, but: Collection[str]) -> dict[str, str]:
        found = {}
        for name in [name for name in self._unsettled if name not in but]:
            standing = self._host.standing(name)
            if standing.trouble is not None:
                found[name] = standing.trouble
            elif standing.is_settled:
                del self._unsettled[name]
        return found

    def _spawn(self, work: Coroutine[Any, Any, Outcome]) -> asyncio.Task[Outcome]:
        task = asyncio.create_task(work, name="reload")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _shutting_down() -> ShuttingDownError:
    return ShuttingDownError("the daemon is stopping; it reads its configuration when it is back", retry_after=5.0)
