"""Beginnings of prompts that stay in a paged cache: computed like any request's prompt, with nothing behind it, and pinned as they end."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from mlxd import quantities
from mlxd.cache_terms import PinFigures, PinState
from mlxd.errors import MlxdError
from mlxd.types import SamplingParams
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.executor import Executor
from mlxd.worker.engine.pin_order import PinOrder
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.runner import StepReport
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.sizing import CacheSizing

_SHARE = 2  # one in so many bytes of the cache is pinned, at most: the rest is for those who ask
_TRIES = 3  # of computing one

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Pin:
    """An order, and how far it is. ``request`` is the name under which it is computed."""

    order: PinOrder
    chain: BlockChain
    request: str = ""
    state: PinState = PinState.COMPUTING
    reason: str = ""
    tries: int = 0

    def refuse(self, reason: str) -> None:
        self.state, self.reason = PinState.REFUSED, reason
        _log.error("the pin %s is not kept: %s", self.order.name, reason)


class Pinning:
    """The pins of one runner. Those that are ordered first go first where there is not room for all."""

    def __init__(self, scheduler: Scheduler, manager: Manager, executor: Executor, sizing: CacheSizing) -> None:
        self._scheduler = scheduler
        self._manager = manager
        self._executor = executor
        self._sizing = sizing
        self._pins: list[_Pin] = []
        self._made = 0

    @property
    def bytes(self) -> int:
        """Returns what is pinned, blocks of several pins once."""
        states = sum(pin.state is PinState.KEPT for pin in self._pins) * self._sizing.state_bytes
        return states + self._sizing.bytes_of(group.pool.pinned for group in self._manager.groups)

    def figures(self) -> tuple[PinFigures, ...]:
        """Returns what has become of each."""
        return tuple(self._figures(pin) for pin in self._pins)

    def order(self, orders: Sequence[PinOrder], limit: int) -> None:
        """Keeps these from now on, and no others, in a cache of ``limit`` bytes. What is the same as before stays as it is, if it fits."""
        before = {pin.order: pin for pin in self._pins if pin.state is not PinState.REFUSED}
        self._pins = [before.get(order) or self._new(order) for order in orders]
        for pin in [pin for pin in before.values() if pin not in self._pins]:
            self._release(pin)
        room = limit // _SHARE
        for pin in self._pins:
            room = self._admit(pin, room, limit)
        for pin in self._pins:
            if pin.state is PinState.COMPUTING and not pin.request:
                self._begin(pin)

    def take(self, report: StepReport) -> None:
        """Takes its own requests out of what a step did, and pins what is computed."""
        own = {pin.request: pin for pin in self._pins if pin.request}
        report.started = [started for started in report.started if started.id not in own]
        for request, pin in own.items():
            if report.ended.pop(request, None) is not None:
                self._end(pin)
            elif (error := report.failed.pop(request, None)) is not None:
                self._fail(pin, str(error))

    def renew(self) -> None:
        """Computes again what is not there any more: the cache was reset, or what it held was no number."""
        for pin in self._pins:
            if pin.state is PinState.KEPT and not self._manager.pinned.holds(pin.chain):
                self._manager.pinned.unpin(pin.chain)
                pin.state = PinState.COMPUTING
                self._begin(pin)

    # ---- one pin ----

    def _new(self, order: PinOrder) -> _Pin:
        chain = BlockChain.of(EncodedPrompt(list(order.tokens), 0, order.root), self._manager.block_size)
        pin = _Pin(order, chain)
        if order.refusal:
            pin.refuse(order.refusal)
        elif not len(chain):
            size = self._manager.block_size
            pin.refuse(f"it has {len(order.tokens)} tokens, and the cache keeps whole blocks of {size}: make it longer, or block_size less")
        return pin

    def _admit(self, pin: _Pin, room: int, limit: int) -> int:
        """Refuses one that does not fit; returns what there is left for those behind it."""
        taken = self._bytes(pin)
        if pin.state is PinState.REFUSED or taken <= room:
            return room - taken * (pin.state is not PinState.REFUSED)
        self._release(pin)
        whole = f"half of cache.memory ({quantities.size(limit // _SHARE)})"
        pin.refuse(f"it takes {quantities.size(taken)}, and {quantities.size(room)} of {whole} are left for it; raise cache.memory")
        return room

    def _begin(self, pin: _Pin) -> None:
        """Lets it be computed. The token behind its last block is not: it only makes that the last one that is."""
        self._made += 1
        pin.request = f"pin {self._made}: {pin.order.name}"
        size = len(pin.chain) * self._manager.block_size
        tokens = [*pin.order.tokens[:size], pin.order.tokens[-1]]
        prompt = EncodedPrompt(tokens, 0, pin.order.root)
        request = EngineRequest(pin.request, prompt, SamplingParams(temperature=0), chain=BlockChain.of(prompt, self._manager.block_size))
        try:
            self._scheduler.add(request)
        except MlxdError as error:
            pin.request = ""
            pin.refuse(error.message)
            return
        self._executor.open(request)

    def _end(self, pin: _Pin) -> None:
        self._close(pin)
        if self._manager.pinned.pin(pin.chain):
            pin.state, pin.tries = PinState.KEPT, 0
            _log.info("the pin %s is kept: %d tokens", pin.order.name, len(pin.chain) * self._manager.block_size)
        else:
            self._fail(pin, "what was computed of it was gone before it could be kept")

    def _fail(self, pin: _Pin, reason: str) -> None:
        self._close(pin)
        pin.tries += 1
        if pin.tries < _TRIES:
            self._begin(pin)
        else:
            pin.refuse(f"it could not be computed: {reason}")

    def _release(self, pin: _Pin) -> None:
        if pin.state is PinState.KEPT:
            self._manager.pinned.unpin(pin.chain)
        if pin.request:
            self._scheduler.forget(pin.request)
        self._close(pin)

    def _close(self, pin: _Pin) -> None:
        """Lets the executor forget what was computed of it, whatever became of that."""
        if pin.request:
            self._executor.close(pin.request)
            pin.request = ""

    def _bytes(self, pin: _Pin) -> int:
        return self._sizing.state_bytes + self._sizing.bytes_of(self._manager.pinned.taken_by(len(pin.chain)))

    def _figures(self, pin: _Pin) -> PinFigures:
        is_kept = pin.state is not PinState.REFUSED
        return PinFigures(
            name=pin.order.name,
            state=pin.state,
            tokens=len(pin.chain) * self._manager.block_size,
            bytes=self._bytes(pin) if is_kept else 0,
            reason=pin.reason,
        )
