"""The sequences of a paged runner: which of them run, and which wait."""

from collections.abc import Callable, Collection

from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.waiting_line import WaitingLine
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.manager import Manager


class Sequences:
    """All sequences that have not ended. Each runs, and may hold blocks, or waits and holds none. ``forgotten`` is told which are over."""

    def __init__(self, manager: Manager, ageing: float, forgotten: Callable[[str], None]) -> None:
        self.waiting: WaitingLine[Sequence] = WaitingLine(ageing)
        self.running: dict[str, Sequence] = {}  # by admission
        self.known: dict[str, Sequence] = {}  # both
        self.added = 0  # ever
        self._manager = manager
        self._forgotten = forgotten

    def add(self, sequence: Sequence) -> None:
        """Adds a new one, which waits."""
        self.added += 1
        self.known[sequence.id] = sequence
        self.waiting.add(sequence)

    def forget(self, request_id: str) -> None:
        """Forgets what is finished, failed or aborted: its blocks are free, or cached, at once. Does nothing if it is not known."""
        sequence = self.known.pop(request_id, None)
        if sequence is None:
            return
        self._forgotten(request_id)
        if self.running.pop(request_id, None) is not None:
            self._manager.close(request_id)
        else:
            self.waiting.remove(sequence)

    def chain(self, request_id: str) -> BlockChain | None:
        """Returns the names of the full blocks of one that is known."""
        sequence = self.known.get(request_id)
        return None if sequence is None else sequence.chain

    def begin_anew(self, ended: Collection[str], ageing: float) -> list[str]:
        """Forgets all but those that wait, hold nothing, and are none of ``ended``; returns the others. Blocks are not given back: the
        cache is to be reset.
        """
        untouched = [one for one in self.waiting if one.id not in self.running and not one.in_flight and one.id not in ended]
        waiting = {one.id: one for one in untouched}
        lost = [request_id for request_id in self.known if request_id not in waiting]
        self.known, self.running, self.waiting = waiting, {}, WaitingLine(ageing)
        for request_id in lost:
            self._forgotten(request_id)
        for sequence in untouched:
            sequence.wait_anew()
            self.waiting.add(sequence)
        return lost
