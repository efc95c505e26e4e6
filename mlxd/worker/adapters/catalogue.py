"""What the names of adapters mean now, as they are configured, and what is known of each.

An adapter is fetched and looked at when somebody asks for it first, in a thread of its own: that may take minutes, and holds up nobody but
those who asked. What is wrong with it is wrong with that name, and with nothing else.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from time import monotonic

from typing_extensions import override

from mlxd.adapter_terms import AdapterFigures, AdapterSpec, AdapterState
from mlxd.errors import AdapterFailedError, AdapterNotFoundError, AdapterSourceError, MlxdError, ModelUnreachableError
from mlxd.types import Limits
from mlxd.worker.adapters.adapter_names import AdapterNames
from mlxd.worker.adapters.engine_adapters import EngineAdapters
from mlxd.worker.engine.adapters.store import AdapterOrders, HeldFigures
from mlxd.worker.engine.adapters.too_large import too_large
from mlxd.worker.facts.adapters.fit import FittedAdapter

_AGAIN = 10.0  # seconds after which what could not be reached is looked for again, if anybody asks

_log = logging.getLogger(__name__)

Look = Callable[[str, bool], FittedAdapter]  # at a source; True: anew, also where it was fetched before


@dataclass(frozen=True)
class _Known:
    """What was found: an adapter that fits the model, or why there is none."""

    found: FittedAdapter | MlxdError
    since: float
    bytes: int = 0  # that it takes

    @property
    def may_be_gone(self) -> bool:
        """Tells whether what was wrong may be right by now."""
        return isinstance(self.found, ModelUnreachableError) and monotonic() - self.since > _AGAIN


@dataclass(eq=False)
class _Named:
    """A name: what is configured, what is known of it, and whoever looks at it now. ``trouble`` is why it could not be loaded last."""

    spec: AdapterSpec
    known: _Known | None = None
    looking: asyncio.Task[_Known] | None = None
    trouble: str = ""
    asking: int = 0  # requests that wait until it is known

    @property
    def fitted(self) -> FittedAdapter | None:
        """Returns the adapter, if it is known and right."""
        found = None if self.known is None else self.known.found
        return found if isinstance(found, FittedAdapter) else None

    @property
    def taken(self) -> int:
        """Returns the bytes that it takes while it is loaded; 0 where that is not known."""
        return self.known.bytes if self.known is not None else 0


class AdapterCatalogue(AdapterNames):
    """The adapters of one model. ``look`` looks at a source, in ``threads``; the rest is the ``engine``'s."""

    def __init__(self, model: str, look: Look, threads: Executor, engine: EngineAdapters) -> None:
        self._model = model
        self._look = look
        self._threads = threads
        self._engine = engine
        self._names: dict[str, _Named] = {}
        self._bytes = 0

    @override
    def reconfigure(self, limits: Limits) -> None:
        """Takes over what is configured. A name with another source is another adapter, for whoever asks from now on; requests that have
        begun keep what they have.
        """
        before, had = self._names, self._room()
        self._bytes = limits.adapter_bytes
        self._names = {spec.name: _renewed(before.get(spec.name), spec) for spec in limits.adapters}
        for named in self._names.values() if had != self._room() else ():
            named.trouble = ""
        self._order()

    @override
    async def find(self, name: str) -> FittedAdapter | None:
        """Returns the adapter of that name, None for no name. Raises ``AdapterNotFoundError`` and ``AdapterFailedError``."""
        if not name:
            return None
        named = self._named(name)
        named.asking += 1
        try:
            known = await self._looked_at(named, anew=False)
        finally:
            named.asking -= 1
        if isinstance(known.found, MlxdError):
            raise AdapterFailedError(f'adapter "{name}" cannot be used: {known.found.message}', retry_after=_retry_after(known.found))
        return known.found

    @override
    async def load(self, name: str) -> AdapterFigures:
        """Looks at an adapter's source again, loads it, and returns its figures. Raises what is wrong with it."""
        named = self._named(name)
        known = await self._looked_at(named, anew=True)
        if isinstance(known.found, MlxdError):
            raise known.found
        try:
            await self._engine.load(known.found)
        except MlxdError as error:
            named.trouble = error.message
            raise
        named.trouble = ""
        return self._figures_of(named, self._engine.figures())

    @override
    async def unload(self, name: str) -> AdapterFigures:
        """Gives an adapter's memory back, once no request has it, and returns its figures. Raises ``AdapterNotFoundError``."""
        named = self._named(name)
        if named.fitted is not None:
            await self._engine.unload(named.fitted.identity)
        return self._figures_of(named, self._engine.figures())

    @override
    def figures(self) -> tuple[AdapterFigures, ...]:
        """Returns what is to be told of all of them, in the order of the configuration."""
        held = self._engine.figures() if self._names else {}
        return tuple(self._figures_of(named, held) for named in self._names.values())

    @override
    def close(self) -> None:
        """Waits for nothing any more."""
        for named in self._names.values():
            if named.looking is not None:
                named.looking.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._engine.close()

    # ---- looking at sources ----

    def _named(self, name: str) -> _Named:
        if name not in self._names:
            raise AdapterNotFoundError(f'model "{self._model}" has no adapter "{name}"', param="model")
        return self._names[name]

    async def _looked_at(self, named: _Named, *, anew: bool) -> _Known:
        """Returns what is found at a source. Those who ask while somebody looks are told the same, unless they can have what is known."""
        known = named.known
        if known is not None and not anew and named.fitted is not None and not self._has_changed(named):
            return known
        if named.looking is None and (anew or known is None or known.may_be_gone or self._has_changed(named)):
            named.looking = asyncio.get_running_loop().create_task(self._look_at(named, anew=anew))
        if named.looking is not None:
            return await asyncio.shield(named.looking)
        if known is None:
            raise RuntimeError(f"nobody has looked at adapter {named.spec.name}")
        return known

    async def _look_at(self, named: _Named, *, anew: bool) -> _Known:
        source = named.spec.source
        try:
            found: FittedAdapter | MlxdError = await asyncio.get_running_loop().run_in_executor(self._threads, self._look, source, anew)
        except MlxdError as error:
            found = error
        except Exception as error:  # noqa: BLE001 - whatever a library raises concerns this adapter
            _log.exception("adapter %s could not be looked at", named.spec.name)
            found = AdapterSourceError(f"{source} cannot be used: {type(error).__name__}: {error}")
        for said in found.examined.facts.warnings if isinstance(found, FittedAdapter) else [found.message]:
            _log.warning("adapter %s: %s", named.spec.name, said)
        size = self._engine.bytes_of(found) if isinstance(found, FittedAdapter) else 0
        named.known, named.looking, named.trouble = _Known(found, monotonic(), size), None, ""
        self._order()
        return named.known

    def _has_changed(self, named: _Named) -> bool:
        """Tells whether the files are others than were looked at, of one whose values are to be read."""
        fitted = named.fitted
        return fitted is not None and fitted.identity not in self._engine.figures() and fitted.examined.is_stale

    def _room(self) -> tuple[int, frozenset[str]]:
        """Returns what decides whether there is room for an adapter: the bytes of all, and which of them are pinned."""
        return self._bytes, frozenset(name for name, one in self._names.items() if one.spec.pin)

    def _order(self) -> None:
        named = [(one, one.fitted.identity) for one in self._names.values() if one.fitted is not None]
        pinned = frozenset(identity for one, identity in named if one.spec.pin)
        names = {identity: f"adapter {one.spec.name}" for one, identity in named}
        self._engine.follow(AdapterOrders(self._bytes, pinned, frozenset(names), names))

    # ---- what is told ----

    def _figures_of(self, named: _Named, held: dict[str, HeldFigures]) -> AdapterFigures:
        spec, fitted = named.spec, named.fitted
        if fitted is None:
            reason = named.known.found.message if named.known is not None and isinstance(named.known.found, MlxdError) else ""
            state = AdapterState.LOADING if named.looking is not None else AdapterState.FAILED if reason else AdapterState.UNLOADED
            return AdapterFigures(name=spec.name, state=state, reason=reason, requests=named.asking, pinned=spec.pin)
        figures, facts = held.get(fitted.identity), fitted.examined.facts
        counts = self._engine.counts_of(fitted)
        if figures is not None and figures.state is AdapterState.LOADED:
            named.trouble = ""  # of before
        reason = named.trouble or too_large(named.taken, self._bytes)
        state = figures.state if figures is not None else AdapterState.FAILED if reason else AdapterState.UNLOADED
        return AdapterFigures(
            name=spec.name,
            state=state,
            reason=reason if state is AdapterState.FAILED else "",
            format=facts.format,
            rank=facts.rank,
            scale=facts.scale,
            layers=len(fitted.layers),
            bytes=named.taken,
            requests=named.asking + (figures.requests if figures is not None else 0),
            loads=counts.loads,
            evictions=counts.evictions,
            pinned=spec.pin,
        )


def _renewed(named: _Named | None, spec: AdapterSpec) -> _Named:
    if named is None or named.spec.source != spec.source:
        return _Named(spec)
    named.spec = spec
    return named


def _retry_after(error: MlxdError) -> float | None:
    return _AGAIN if isinstance(error, ModelUnreachableError) else None
