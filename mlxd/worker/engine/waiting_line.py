"""Who is next: by priority, with ageing, and by arrival among equals."""

from bisect import insort
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from mlxd.worker.engine.queued import QueuedRequest


class Ranked(Protocol):
    """Something that stands for a request."""

    @property
    def request(self) -> QueuedRequest:
        """Returns the request whose priority and arrival count."""


T = TypeVar("T", bound=Ranked)
Rank = tuple[float, int]


def rank(request: QueuedRequest, ageing: float) -> Rank:
    """Returns a request's place, which no other one has: lower goes first. One level of priority is worth ``ageing`` seconds of waiting.

    All requests age alike, so the order between two never changes with time: a priority is a head start, in seconds of arrival.
    """
    return request.arrived + request.priority * ageing, request.number


class WaitingLine(Generic[T]):
    """A line sorted by ``rank``; ``ageing`` is in seconds, and may be changed at any time."""

    def __init__(self, ageing: float) -> None:
        self._ageing = ageing
        self._items: list[T] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        """Yields first those that go first. Iterate over a copy to change the line meanwhile."""
        return iter(self._items)

    def __contains__(self, item: T) -> bool:
        return any(one is item for one in self._items)

    @property
    def ageing(self) -> float:
        """Returns the seconds of waiting that a level of priority is worth."""
        return self._ageing

    @ageing.setter
    def ageing(self, seconds: float) -> None:
        self._ageing = seconds
        self._items.sort(key=self.rank)

    def rank(self, item: T) -> Rank:
        """Returns its place in the line: lower goes first."""
        return rank(item.request, self._ageing)

    def add(self, item: T) -> None:
        """Takes the item in, behind those that rank before it."""
        insort(self._items, item, key=self.rank)

    def remove(self, item: T) -> None:
        """Takes the item out. Raises ``ValueError`` if it does not wait."""
        position = next((at for at, one in enumerate(self._items) if one is item), None)
        if position is None:
            raise ValueError("it does not wait here")
        del self._items[position]
