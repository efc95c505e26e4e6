"""The part of a sequence that a step computes, as chunks one after the other: each ends where others may begin."""

from mlxd.worker.engine.adapters.adapters import Adapters
from mlxd.worker.engine.fetching import Fetching
from mlxd.worker.engine.plan import Chunk
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.sequences import Sequences
from mlxd.worker.engine.speculation.drafter import Guesses
from mlxd.worker.engine.state_marks import state_marks
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.state_snapshots import Taken


class Chunks:
    """The chunks of sequences over one cache. What is planned will be computed, in the order of the plan: whoever is planned behind it may
    use its blocks already. If the step fails, everything that is cached is dropped.
    """

    def __init__(self, sequences: Sequences, manager: Manager, fetching: Fetching, adapters: Adapters) -> None:
        self._sequences = sequences
        self._manager = manager
        self._fetching = fetching
        self._adapters = adapters

    def of(self, sequence: Sequence, stop: int, guesses: Guesses) -> list[Chunk]:
        """Returns what computes a sequence up to ``stop``, for which there is room; the last tokens are ``guesses``. It counts as computed
        from then on.
        """
        marks = self._marks(sequence, stop)
        return [self._chunk(sequence, end, marks.get(end), guesses) for end in sorted({*marks, stop})]

    def _marks(self, sequence: Sequence, stop: int) -> dict[int, Taken]:
        """Returns where, on the way to ``stop``, chunks end for a copy of the recurrent state, where there is any."""
        if self._manager.snapshots is None:
            return {}
        awaited = set() if sequence.decodes else {one.awaited for one in self._sequences.waiting if one.awaited}
        marks = state_marks(sequence, stop, self._manager.block_size, awaited)
        marks = {at: taken for at, taken in marks.items() if sequence.media.cuts(at) is None}
        sequence.copied = max([sequence.copied, *marks])
        return marks

    def _chunk(self, sequence: Sequence, stop: int, mark: Taken | None, guesses: Guesses) -> Chunk:
        start, known = sequence.computed, stop - guesses.count
        tokens = (*sequence.tokens[start:known], *guesses.tokens) if known <= sequence.verified else None
        samples, targets = known == sequence.length, sequence.targets(stop)
        chunk = Chunk(
            sequence=sequence.id,
            start=start,
            count=stop - start,
            tokens=tokens,
            runs=self._manager.runs(sequence.id),
            samples=samples,
            resume=sequence.resume,
            keep=None if mark is None else self._manager.plan_snapshot(sequence.id, stop, mark),
            targets=targets,
            drafts=guesses.count,
            windows=self._manager.window_runs(sequence.id),
            media=sequence.media.before(stop),
            adapter=self._adapters.slot(sequence.id),
        )
        self._manager.commit(sequence.id, sequence.tokens, min(stop, sequence.verified))
        self._fetching.planned(sequence.chain.digests[start // self._manager.block_size : stop // self._manager.block_size])
        sequence.computed, sequence.resume, sequence.drafted = stop, None, guesses.count
        sequence.in_flight += samples
        return chunk
