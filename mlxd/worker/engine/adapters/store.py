"""Which adapters are loaded, and which of them goes when there is no room for another.

Adapters are read elsewhere; here they are written into the stacks of the model's layers, and taken out of them, one after the other and for
a part of each step, so that streams go on. The one used least recently goes first, and none that is pinned, or that a running request
has. Where all have requests, it is closed instead: those of its requests that wait let the others go first, so that everybody has a turn.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from time import monotonic

from typing_extensions import override

from mlxd.adapter_terms import AdapterState
from mlxd.errors import AdapterFailedError, MlxdError
from mlxd.quantities import size
from mlxd.worker.engine.adapters.adapters import NO_FAILURES, Adapters
from mlxd.worker.engine.adapters.held import Held, Stage, Then
from mlxd.worker.engine.adapters.leaving import Leaving
from mlxd.worker.engine.adapters.stack_sizes import StackSizes, stacked_bytes
from mlxd.worker.engine.adapters.stacks import AdapterStacks
from mlxd.worker.engine.adapters.too_large import too_large
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.facts.adapters.fit import FittedAdapter, ModelPlaces
from mlxd.worker.facts.adapters.tensor_values import LayerValues

_KNOWN_SIZES = 256
_OPERATOR = 30.0  # seconds after which it is worth looking whether an operator has made room

_log = logging.getLogger(__name__)

Arrive = Callable[[Sequence[LayerValues] | MlxdError], None]
Read = Callable[[FittedAdapter, Arrive], None]


@dataclass(frozen=True)
class AdapterOrders:
    """What is to hold of a model's adapters: so many ``bytes`` for all that are loaded, which of them stay, and which are still wanted by
    anybody, by their identities, and what they are called.
    """

    bytes: int = 0
    pinned: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldFigures:
    """What is told of an adapter: ``requests`` run or wait with it."""

    state: AdapterState
    requests: int


@dataclass(frozen=True)
class AdapterCounts:
    """How often an adapter was loaded, and let go to make room for others."""

    loads: int = 0
    evictions: int = 0


class AdapterStore(Adapters):
    """The adapters of a model. ``read`` begins to read one on another thread; the engine's thread calls what ``read`` is given, with the
    values. It is there before the first request that has one.
    """

    def __init__(self, stacks: AdapterStacks) -> None:
        self.read: Read = _read_by_nobody
        self._stacks = stacks
        self._orders = AdapterOrders()
        self._held: dict[str, Held] = {}  # those that wait in the order of their coming
        self._of_request: dict[str, Held] = {}
        self._current: Held | None = None  # the one that is being read or written
        self._closed_for: Held | None = None
        self._sizes: dict[frozenset[str], int] = {}  # of several together: asked for at every step while one waits for room
        self._reckoned = StackSizes(stacks.item_bytes)
        self._clock = count(1)
        self._failed: dict[str, MlxdError] = {}
        self._counts: dict[str, AdapterCounts] = {}  # by identity
        self._is_over = False  # something is to be let go, perhaps
        self._leaving: deque[Leaving] = deque()

    @property
    def places(self) -> ModelPlaces:
        """Returns the layers of the model that adapters may change. It may be called on any thread."""
        return self._stacks.places

    def follow(self, orders: AdapterOrders) -> None:
        """Makes orders hold, from the next step on."""
        self._orders = orders
        for held in self._held.values():
            held.is_known = held.adapter.identity in orders.known
        self._counts = {identity: counts for identity, counts in self._counts.items() if identity in orders.known}
        self._open_all()
        self._shrink(self._of_request)

    def load(self, adapter: FittedAdapter, then: Then) -> None:
        """Loads an adapter before anybody asks for it; ``then`` is told what has become of it."""
        try:
            self._check_room(adapter)
        except AdapterFailedError as error:
            then(error)
            return
        held = self._hold(adapter)
        held.is_unloaded = False
        held.thens.append(then)
        if held.stage is Stage.LOADED:
            held.settle(None)

    def unload(self, identity: str) -> None:
        """Lets an adapter go, once no request has it any more."""
        held = self._held.get(identity)
        if held is not None:
            held.is_unloaded = True
            self._shrink(self._of_request)

    def figures(self) -> dict[str, HeldFigures]:
        """Returns what is to be told of those that are held, by their identities. It may be called on any thread."""
        return {
            identity: HeldFigures(AdapterState.LOADED if held.stage is Stage.LOADED else AdapterState.LOADING, len(held.users))
            for identity, held in list(self._held.items())
        }

    def counts_of(self, adapter: FittedAdapter) -> AdapterCounts:
        """Returns how often it was loaded and let go, since somebody may ask for it. It may be called on any thread."""
        return self._counts.get(adapter.identity, AdapterCounts())

    def bytes_of(self, adapter: FittedAdapter) -> int:
        """Returns the bytes that an adapter takes where no other is loaded. It may be called on any thread."""
        return stacked_bytes([adapter.layers], self._stacks.item_bytes)

    # ---- for the scheduler ----

    @property
    @override
    def can_load(self) -> bool:
        return True

    @override
    def add(self, request: EngineRequest) -> None:
        if request.adapter is None:
            return
        self._check_room(request.adapter)
        held = self._hold(request.adapter)
        held.users.add(request.id)
        held.used = next(self._clock)
        self._of_request[request.id] = held

    @override
    def forget(self, request_id: str) -> None:
        held = self._of_request.pop(request_id, None)
        if held is None:
            return
        self._failed.pop(request_id, None)
        held.users.discard(request_id)
        held.used = next(self._clock)
        self._is_over |= not held.users
        if held.stage is Stage.WAITING and not held.users and not held.thens and self._held.get(held.adapter.identity) is held:
            del self._held[held.adapter.identity]

    @override
    def has(self, request_id: str) -> bool:
        held = self._of_request.get(request_id)
        return held is None or (held.stage is Stage.LOADED and not held.closed)

    @override
    def slot(self, request_id: str) -> int:
        held = self._of_request.get(request_id)
        return 0 if held is None else held.slot

    @override
    def advance(self, running: Collection[str], seconds: float) -> Mapping[str, MlxdError]:
        if not self._held and not self._failed and not self._leaving:
            return NO_FAILURES
        if self._is_over:
            self._shrink(running)
        if self._current is None:
            self._place(running)
        self._work(seconds)
        failed, self._failed = self._failed, {}
        return failed

    @property
    @override
    def is_busy(self) -> bool:
        if self._leaving or not self._held:
            return bool(self._leaving or self._failed)
        return self._is_over or self._current is not None or any(held.stage is Stage.WAITING for held in self._held.values())

    @property
    @override
    def is_reading(self) -> bool:
        return self._current is not None and self._current.stage is Stage.READING and not self._leaving

    @property
    @override
    def nbytes(self) -> int:
        return self._stacks.nbytes

    # ---- who is held ----

    def _hold(self, adapter: FittedAdapter) -> Held:
        held = self._held.get(adapter.identity)
        if held is None:
            held = self._held[adapter.identity] = Held(adapter)
            held.is_known = adapter.identity in self._orders.known
        return held

    def _check_room(self, adapter: FittedAdapter) -> None:
        """Raises ``AdapterFailedError`` for one that there will never be room for."""
        limit, file = self._orders.bytes, adapter.examined.facts.file
        needed = self._bytes([adapter])
        if why := too_large(needed, limit):
            raise AdapterFailedError(f"{file} {why}")
        pinned = [held.adapter for held in self._held.values() if self._is_pinned(held) and held.slot]
        if self._bytes([adapter, *(one for one in pinned if one.identity != adapter.identity)]) > limit:
            beside = ", ".join(sorted(self._orders.names.get(one.identity, str(one.examined.facts.file)) for one in pinned))
            raise AdapterFailedError(
                f"{file} takes {size(needed)} when it is loaded: adapter_memory, {size(limit)}, has no room for it beside what is pinned: "
                f"{beside}; an operator has to unpin or unload one, or raise it",
                retry_after=_OPERATOR,
            )

    def _is_pinned(self, held: Held) -> bool:
        return held.adapter.identity in self._orders.pinned and not held.is_leaving

    def _bytes(self, adapters: Sequence[FittedAdapter]) -> int:
        key = frozenset(adapter.identity for adapter in adapters)
        if key not in self._sizes:
            if len(self._sizes) >= _KNOWN_SIZES:
                self._sizes.clear()
            self._sizes[key] = self._reckoned.together([adapter.layers for adapter in adapters])
        return self._sizes[key]

    # ---- room ----

    def _place(self, running: Collection[str]) -> None:
        """Begins to load the first of those that wait, if there is room or can be made."""
        held = next((one for one in self._held.values() if one.stage is Stage.WAITING), None)
        if held is not self._closed_for:  # whoever waited for room may be gone
            self._open_all()
        if held is None:
            return
        for one in self._held.values():
            one.has_served |= not one.users.isdisjoint(running)
        try:
            self._check_room(held.adapter)
        except AdapterFailedError as error:  # what holds is not what held when it came
            self._fail(held, error)
            return
        if not self._make_room(held, running):
            return
        taken = {one.slot for one in self._held.values()} | {one.slot for one in self._leaving}
        held.slot = next(slot for slot in count(1) if slot not in taken)
        held.stage, self._current = Stage.READING, held
        self.read(held.adapter, lambda found: self._arrived(held, found))

    def _make_room(self, held: Held, running: Collection[str]) -> bool:
        while self._bytes([held.adapter, *self._loaded()]) > self._orders.bytes:
            if not self._removable(running):
                self._close_for(held)
            if not self._evict_one(running):
                return False
        return True

    def _loaded(self) -> list[FittedAdapter]:
        return [one.adapter for one in self._held.values() if one.slot]

    def _removable(self, running: Collection[str]) -> list[Held]:
        candidates = [one for one in self._held.values() if one.stage is Stage.LOADED and not self._is_pinned(one)]
        return [one for one in candidates if not one.users or (one.closed and one.users.isdisjoint(running))]

    def _close_for(self, held: Held) -> None:
        """Closes those used least recently, as many as have to go, for as long as this one waits; but none that was loaded for others who
        waited, and has not served anybody yet.
        """
        if self._closed_for is held:
            return
        others = [one for one in self._held.values() if one.slot]
        if not all(one.has_served or not one.users for one in others):
            return
        self._closed_for = held
        for one in sorted(others, key=lambda one: one.used):
            if self._bytes([held.adapter, *(other.adapter for other in others if not other.closed)]) <= self._orders.bytes:
                return
            one.closed = not self._is_pinned(one)

    def _open_all(self) -> None:
        self._closed_for = None
        for one in self._held.values():
            one.closed = False

    def _shrink(self, running: Collection[str]) -> None:
        """Lets go of those that nobody wants any more, and of as many others as are too many now."""
        self._is_over = False
        for held in list(self._held.values()):
            if held.stage is Stage.LOADED and held.is_leaving and not held.users:
                self._drop(held)
        while self._bytes(self._loaded()) > self._orders.bytes:
            if not self._evict_one(running):
                return

    def _evict_one(self, running: Collection[str]) -> bool:
        """Lets go of the one used least recently; False where none may go."""
        victim = min(self._removable(running), key=lambda one: one.used, default=None)
        if victim is None:
            return False
        counts = self.counts_of(victim.adapter)
        self._counts[victim.adapter.identity] = replace(counts, evictions=counts.evictions + 1)
        self._drop(victim)
        return True

    def _drop(self, held: Held) -> None:
        """Lets go of an adapter; where requests wait for it, it waits for its turn again."""
        self._leave(held)
        held.wait()
        del self._held[held.adapter.identity]
        if held.users:
            self._held[held.adapter.identity] = held

    def _leave(self, held: Held) -> None:
        """Begins to give back the memory of an adapter."""
        self._leaving.append(Leaving(held.slot, self._stacks.drop))

    # ---- loading ----

    def _arrived(self, held: Held, found: Sequence[LayerValues] | MlxdError) -> None:
        if isinstance(found, MlxdError):
            self._fail(held, AdapterFailedError(found.message))
            return
        held.stage = Stage.WRITING
        held.writing = self._stacks.write(held.slot, held.adapter.layers, _let_go_of(deque(found)))

    def _work(self, seconds: float) -> None:
        """Gives back memory, then writes, for so long behind the first layer: that one may have to wait for the step that runs."""
        until = None
        while until is None or monotonic() < until:
            if self._leaving:
                if not self._leaving[0].free():
                    return
                if self._leaving[0].is_over:
                    self._leaving.popleft()
            elif self._current is not None and self._current.writing is not None:
                self._write(self._current, self._current.writing)
            else:
                return
            until = until or monotonic() + seconds

    def _write(self, held: Held, writing: Iterator[None]) -> None:
        """Writes one more layer."""
        try:
            next(writing)
        except StopIteration:
            held.stage, held.writing, self._current = Stage.LOADED, None, None
            counts = self.counts_of(held.adapter)
            self._counts[held.adapter.identity] = replace(counts, loads=counts.loads + 1)
            held.settle(None)
            self._is_over = True
        except Exception as error:  # noqa: BLE001 - whatever a device says concerns this adapter
            _log.exception("%s could not be loaded", held.adapter.examined.facts.file)
            self._fail(held, AdapterFailedError(f"{held.adapter.examined.facts.file} could not be loaded: {error}"))

    def _fail(self, held: Held, error: MlxdError) -> None:
        """Lets go of an adapter that cannot be loaded, and of all that wait for it."""
        if held.stage is Stage.WRITING:
            self._leave(held)
        if self._current is held:
            self._current = None
        held.wait()
        self._held.pop(held.adapter.identity, None)
        self._failed |= dict.fromkeys(held.users, error)
        held.settle(error)


def _let_go_of(values: deque[LayerValues]) -> Iterator[LayerValues]:
    """Yields values that nothing holds any more then: each layer's memory is free once it is written."""
    while values:
        yield values.popleft()


def _read_by_nobody(adapter: FittedAdapter, _: Arrive) -> None:
    raise RuntimeError(f"nobody reads {adapter.examined.facts.file}")
