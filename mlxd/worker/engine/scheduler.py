"""Who computes what in the next step. No MLX, no clock but arrival times, no I/O: values in, a plan out.

A token budget is spent on streams that run first, then on prompts in order of arrival. Blocks are reserved here: when there
are none, the youngest sequence gives its own back (its full blocks stay cached, so that it resumes with a cache hit).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from mlxd.errors import MlxdError
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.kv.manager import Lookup, Manager

WATERMARK = 0.02  # of the pool's blocks stay free at admission, so that a newcomer is not preempted at its first token


@dataclass(frozen=True)
class Limits:
    """May be replaced at any time; takes effect at the next step."""

    max_sequences: int
    step_tokens: int | None  # None: "auto", by ``target_itl``
    target_itl: float  # seconds


@dataclass
class Schedule:
    """One step's decisions. ``admitted`` left the queue; ``out_of_room`` cannot go on, alone in a full pool."""

    plan: StepPlan
    admitted: list[Sequence] = field(default_factory=list)
    preempted: list[Sequence] = field(default_factory=list)
    out_of_room: list[Sequence] = field(default_factory=list)
    sampling: set[str] = field(default_factory=set)  # sequences whose next token this step samples


class Scheduler:
    """Owns the order of sequences and their blocks; ``root`` is the prefix cache's root for a request."""

    def __init__(self, manager: Manager, limits: Limits, budget: StepBudget, root: Callable[[EngineRequest], bytes]) -> None:
        self.limits = limits
        self.waiting: list[Sequence] = []  # by arrival; preempted ones first
        self.running: list[Sequence] = []  # by admission
        self.preemptions = 0
        self._manager = manager
        self._budget = budget
        self._root = root

    def add(self, request: EngineRequest) -> Sequence:
        """A new sequence, waiting. Raises ``PoolTooSmallError`` for what could never run."""
        needed = self._manager.blocks_for(len(request.tokens) + 1)
        capacity = self._manager.pool.capacity
        if needed > capacity:
            raise PoolTooSmallError(
                f"the prompt needs {needed} blocks of cache, but the pool has {capacity}; raise cache.memory or shorten the prompt"
            )
        sequence = Sequence(request)
        self.waiting.append(sequence)
        return sequence

    @property
    def is_idle(self) -> bool:
        """Nothing to do, now or later."""
        return not self.waiting and not self.running

    def schedule(self) -> Schedule:
        """Advance ``computed`` and ``in_flight`` of what is planned: the next call may come before the step's result."""
        decision = Schedule(StepPlan(()))
        decodes = [sequence for sequence in self.running if sequence.decodes]
        rows = [chunk for sequence in decodes if (chunk := self._plan_rows(sequence, 1, decision)) is not None]
        left = self._prefill_budget(len(rows))
        for sequence in list(self.running):
            if left and sequence in self.running and not sequence.decodes and sequence.to_compute and not sequence.in_flight:
                chunk = self._plan_rows(sequence, min(left, sequence.to_compute), decision)
                if chunk is not None:
                    rows.append(chunk)
                    left -= chunk.count
        self._admit(left, rows, decision)
        gone = {sequence.id for sequence in (*decision.preempted, *decision.out_of_room)}
        decision.plan = StepPlan(tuple(chunk for chunk in rows if chunk.sequence not in gone))
        return decision

    def commit(self, sequence: Sequence, computed: int) -> None:
        """A step succeeded: the first ``computed`` tokens have keys and values, and full blocks may be shared."""
        if sequence in self.running:
            self._manager.commit(sequence.id, sequence.tokens, min(computed, len(sequence.tokens)))

    def remove(self, sequence: Sequence) -> None:
        """Finished, failed or aborted: its blocks are free, or cached, at once."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._manager.close(sequence.id)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def observe(self, plan: StepPlan, seconds: float) -> None:
        """How long a step took."""
        decode_rows = sum(chunk.count == 1 for chunk in plan.chunks)
        self._budget.observe(seconds=seconds, prefill_tokens=plan.rows - decode_rows, decode_rows=decode_rows)

    def _prefill_budget(self, decode_rows: int) -> int:
        limits = self.limits
        if limits.step_tokens is not None:
            return max(0, limits.step_tokens - decode_rows)
        return self._budget.prefill_tokens(decode_rows=decode_rows, target=limits.target_itl)

    def _admit(self, left: int, rows: list[Chunk], decision: Schedule) -> None:
        """Waiting sequences, in order, while there is room. One that would compute what another is computing waits for it."""
        for sequence in list(self.waiting):
            if not left or len(self.running) >= self.limits.max_sequences or decision.preempted:
                return
            if sequence.in_flight:  # preempted while its token was on its way
                continue
            lookup = self._manager.lookup(self._root(sequence.request), sequence.tokens)
            if lookup.computing is not None:  # another one computes what it needs next: wait for those blocks
                continue
            if not self._has_room(sequence, lookup):
                return
            self._start(sequence, lookup, decision)
            chunk = self._plan_rows(sequence, min(left, sequence.to_compute), decision)
            if chunk is not None:
                rows.append(chunk)
                left -= chunk.count

    def _has_room(self, sequence: Sequence, lookup: Lookup) -> bool:
        """For all of its tokens and one more, and the watermark, beside what it finds in the cache."""
        pool = self._manager.pool
        found = lookup.match.blocks
        spare = int(WATERMARK * pool.capacity) if self.running else 0
        # Cached blocks it would take over count as available now, and will not any more.
        taken_over = sum(not pool.references(block) for block in found)
        return self._manager.blocks_for(sequence.length + 1) - len(found) + spare <= pool.available - taken_over

    def _start(self, sequence: Sequence, lookup: Lookup, decision: Schedule) -> None:
        self._manager.open(sequence.id, sequence.tokens, lookup)
        sequence.computed = lookup.cached_tokens
        if sequence.cache is None:
            sequence.cached_tokens, sequence.cache = lookup.cached_tokens, lookup.outcome
            decision.admitted.append(sequence)
        self.waiting.remove(sequence)
        self.running.append(sequence)

    def _plan_rows(self, sequence: Sequence, count: int, decision: Schedule) -> Chunk | None:
        if sequence not in self.running:  # preempted for another one in this very step
            return None
        stop = sequence.computed + count
        while not self._manager.reserve(sequence.id, stop, growing=sequence.generated > 0):
            victim = self.running[-1]
            if victim is sequence and len(self.running) == 1:
                decision.out_of_room.append(sequence)
                return None
            self._preempt(victim, decision)
            if victim is sequence:
                return None
        known = tuple(sequence.tokens[sequence.computed : stop])
        samples = stop == sequence.length
        chunk = Chunk(
            sequence.id, sequence.computed, count, known if len(known) == count else None, self._manager.runs(sequence.id), samples
        )
        sequence.computed = stop
        if samples:
            sequence.in_flight += 1
            decision.sampling.add(sequence.id)
        return chunk

    def _preempt(self, victim: Sequence, decision: Schedule) -> None:
        self.preemptions += 1
        self.running.remove(victim)
        self._manager.close(victim.id)
        if victim.id in decision.sampling:  # planned a moment ago, and not to be computed now
            decision.sampling.remove(victim.id)
            victim.in_flight -= 1
        victim.computed = 0
        self.waiting.insert(0, victim)
        decision.preempted.append(victim)


class PoolTooSmallError(MlxdError):
    """The prompt does not fit the cache of this model, however long it waits."""

    status = 400
    code = "cache_too_small"
    kind = "invalid_request_error"
