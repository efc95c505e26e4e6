"""All listeners together, and how they move to other addresses while they serve: a new socket is bound before an old one closes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from mlxd.config.address import Address, TcpAddress
from mlxd.errors import ListenError
from mlxd.listener.binding import Bound, bind
from mlxd.listener.server import Listener

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Move:
    """What one listener opens and closes."""

    role: str
    opened: tuple[Address, ...]
    closed: tuple[Address, ...]


@dataclass
class PreparedMoves:
    """Moves whose new addresses are bound, but where nothing is answered yet. They are to be committed or rolled back."""

    moves: tuple[Move, ...]
    bound: list[tuple[str, Address, Bound]] = field(default_factory=list)
    suspended: list["_Closing"] = field(default_factory=list)  # had to close first


@dataclass(frozen=True)
class _Closing:
    """An address that is to be closed: as it is configured, and as it is bound, with its real port."""

    role: str
    wanted: Address
    real: Address


class Listeners:
    """The listeners by role, in the order they start."""

    def __init__(self, listeners: Mapping[str, Listener]) -> None:
        self._listeners = dict(listeners)

    async def start(self) -> None:
        """Starts all listeners. Raises ``ListenError``, and then none of them listens."""
        started: list[Listener] = []
        try:
            for listener in self._listeners.values():
                await listener.start()
                started.append(listener)
        except BaseException:
            for listener in reversed(started):
                await listener.stop()
            raise

    async def stop(self) -> None:
        """Stops all listeners, the last one first."""
        for listener in reversed(self._listeners.values()):
            await listener.stop()

    def addresses(self, role: str) -> tuple[Address, ...]:
        """Returns where the listener listens now, with real port numbers."""
        return self._listeners[role].addresses

    def stop_accepting(self, role: str) -> None:
        """Closes all listening sockets of one listener; the requests that have begun go on."""
        self._listeners[role].stop_accepting()

    @property
    def bound(self) -> tuple[tuple[str, Address], ...]:
        """Returns every role with every address it listens on now."""
        return tuple((role, address) for role, one in self._listeners.items() for address in one.addresses)

    def prepare(self, moves: Sequence[Move]) -> PreparedMoves:
        """Binds what is to be opened. Raises ``ListenError``, and then all is as before.

        Where the new address overlaps an old one that is to be closed ("127.0.0.1:8000" and "0.0.0.0:8000"), no system lets both be bound:
        then the old one closes first, for the moment it takes; connections go on.
        """
        prepared = PreparedMoves(tuple(moves))
        closing = [_Closing(move.role, address, self._listeners[move.role].bound_to(address)) for move in moves for address in move.closed]
        try:
            for move in moves:
                for address in move.opened:
                    prepared.bound.append((move.role, address, self._bind(address, closing, prepared)))
        except BaseException:
            self.roll_back(prepared)
            raise
        return prepared

    def close_old(self, prepared: PreparedMoves) -> None:
        """Closes what is to be closed, as the first half of a commit. Connections go on."""
        for move in prepared.moves:
            for address in move.closed:
                self._listeners[move.role].close(address)
                _log.info("listener_closed", role=move.role, address=str(address))

    def serve_new(self, prepared: PreparedMoves) -> None:
        """Serves the new addresses, as the second half of a commit. Who connected to them meanwhile has waited."""
        for role, address, bound in prepared.bound:
            self._listeners[role].serve(address, bound)
            _log.info("listener_opened", role=role, address=str(bound.address))

    def take_back(self, prepared: PreparedMoves) -> None:
        """Rolls back after ``serve_new``, or a part of it."""
        for role, address, _ in prepared.bound:
            self._listeners[role].close(address)
        self.roll_back(prepared)

    def roll_back(self, prepared: PreparedMoves) -> None:
        """Leaves all as if nothing had been prepared."""
        for _, _, bound in prepared.bound:
            bound.close()
        for old in prepared.suspended:
            try:
                self._listeners[old.role].serve(old.wanted, bind(old.real))
            except ListenError:  # somebody took it within the moment it was free
                _log.exception("listener_lost", role=old.role, address=str(old.real))

    def _bind(self, address: Address, closing: Iterable[_Closing], prepared: PreparedMoves) -> Bound:
        try:
            return bind(address)
        except ListenError:
            overlapping = [old for old in closing if _overlap(address, old.real) and old not in prepared.suspended]
            if not overlapping:
                raise
            for old in overlapping:
                self._listeners[old.role].close(old.wanted)
                prepared.suspended.append(old)
            return bind(address)


def _overlap(one: Address, other: Address) -> bool:
    if isinstance(one, TcpAddress) and isinstance(other, TcpAddress):
        return one.port == other.port
    return one == other
