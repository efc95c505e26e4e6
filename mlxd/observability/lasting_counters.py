"""Counters of models, told by their workers' heartbeats, that go on over workers, each of which counts from 0."""

from collections import Counter
from collections.abc import Iterator, Mapping

from mlxd.control.model.status import ModelStatus

Labels = tuple[str, ...]  # the name of a counter, then its labels


class LastingCounters:
    """The totals of each model. What a worker did after its last heartbeat is not counted."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int | None, Counter[Labels]]] = {}  # model -> the worker, and what it had counted
        self._totals: dict[str, Counter[Labels]] = {}

    def count(self, status: ModelStatus, counted: Mapping[Labels, float]) -> None:
        """Takes in what a model's worker has counted, what is 0 included: it starts so."""
        worker, before = self._seen.get(status.name, (None, Counter[Labels]()))
        now = Counter[Labels](counted)
        if worker != status.pid:
            before = Counter()
        self._totals.setdefault(status.name, Counter(dict.fromkeys(now, 0))).update(now - before)
        self._seen[status.name] = (status.pid, now)

    def totals(self) -> Iterator[tuple[str, Labels, float]]:
        """Yields the total of each counter of each model that has any."""
        for model, totals in self._totals.items():
            for labels, total in totals.items():
                yield model, labels, total
