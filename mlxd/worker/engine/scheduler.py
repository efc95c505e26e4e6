"""Who computes what in the next step. There is no MLX, no clock, no I/O: values go in, a plan comes out; results go in, a report comes out.

A token budget is spent on streams that run first, then on prompts in order. Blocks are reserved here: when there are none, the sequence
that would go last gives its own back (its full blocks stay cached, so that it resumes with a cache hit).
"""

import heapq
from collections.abc import Collection
from dataclasses import dataclass, field

from mlxd.errors import CacheTooSmallError
from mlxd.types import CacheOutcome, FinishReason, Limits
from mlxd.wire.messages import Started
from mlxd.worker.engine.events import PromptScored
from mlxd.worker.engine.executor import StepResult
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.engine.prompt_budget import PromptBudget
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.runner import StepReport
from mlxd.worker.engine.sampled import Sampled, SampledToken
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.engine.waiting_line import WaitingLine
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.block_table import Run
from mlxd.worker.kv.manager import Lookup, Manager, Move

MOST_SCORED = 64  # targets of one step, where nobody knows how large a row of logits is
NOTHING_FOUND = Lookup((), 0, CacheOutcome.MISS)
WATERMARK = 0.02  # of the pool's blocks stay free at admission, so that a newcomer is not preempted at its first token
_MANY_RUNS = 2  # a sequence in more pieces has its blocks moved together


@dataclass
class Schedule:
    """The decisions of one step. ``planned`` sequences have chunks. ``out_of_room`` cannot go on, alone in a full pool; ``too_large``
    cannot even begin, and of those with ``nothing_to_do`` the cache has all that is wanted.
    """

    chunks: list[Chunk] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    prefill_tokens: int = 0
    planned: set[str] = field(default_factory=set)
    started: list[Sequence] = field(default_factory=list)
    preempted: list[Sequence] = field(default_factory=list)
    out_of_room: list[Sequence] = field(default_factory=list)
    too_large: list[Sequence] = field(default_factory=list)
    nothing_to_do: list[Sequence] = field(default_factory=list)
    scored: int = 0  # targets of its chunks
    plan: StepPlan = field(default_factory=StepPlan)
    seconds: float = 0.0  # it is expected to take


class Scheduler:
    """The scheduler owns the order of sequences and their blocks."""

    def __init__(
        self, manager: Manager, limits: Limits, budget: StepBudget, *, end_tokens: Collection[int], most_scored: int = MOST_SCORED
    ) -> None:
        self.waiting: WaitingLine[Sequence] = WaitingLine(limits.priority_ageing)
        self.running: dict[str, Sequence] = {}  # by admission
        self._limits = limits
        self._manager = manager
        self._budget = budget
        self._end_tokens = end_tokens
        self._most_scored = most_scored
        self._known: dict[str, Sequence] = {}  # running or waiting
        self._added = 0  # sequences, ever

    def add(self, request: EngineRequest) -> None:
        """Adds a new sequence, which waits. Raises ``CacheTooSmallError`` for what could never run."""
        sequence = Sequence(request, request.chain or BlockChain.of(request.prompt, self._manager.block_size), self._added)
        if self._can_never_run(sequence):
            raise self._too_large(sequence)
        self._added += 1
        self._known[sequence.id] = sequence
        self.waiting.add(sequence)

    def forget(self, request_id: str) -> None:
        """Forgets what is finished, failed or aborted: its blocks are free, or cached, at once. Does nothing if it is not known."""
        sequence = self._known.pop(request_id, None)
        if sequence is None:
            return
        if self.running.pop(request_id, None) is not None:
            self._manager.close(request_id)
        else:
            self.waiting.remove(sequence)

    def chain(self, request_id: str) -> BlockChain | None:
        """Returns the names of the full blocks of a sequence that is running or waiting."""
        sequence = self._known.get(request_id)
        return None if sequence is None else sequence.chain

    @property
    def is_idle(self) -> bool:
        """Tells whether there is nothing to do, now or later."""
        return not self._known

    def reconfigure(self, limits: Limits) -> None:
        """Makes the limits hold from the next step on. The pool's size is its owner's business."""
        self._limits = limits
        self.waiting.ageing = limits.priority_ageing

    # ---- before the step ----

    def schedule(self) -> Schedule:
        """Advances ``computed`` and ``in_flight`` of what is planned: the next call may come before the step's result."""
        decision = Schedule()
        self._compact(decision)
        decoding = sorted((one for one in self.running.values() if one.decodes), key=self.waiting.rank)
        planned = [sequence for sequence in decoding if self._plan(sequence, 1, decision)]
        for sequence in planned:
            sequence.heard = self._added if sequence.heard is None else sequence.heard
        self._plan_prompts(PromptBudget.of(planned, self._budget, self._limits), decision)
        snapshots = self._manager.snapshots
        dropped = snapshots.take_dropped() if snapshots is not None else ()
        decision.plan = StepPlan(
            chunks=tuple(decision.chunks),
            moves=tuple(decision.moves),
            arenas=self._manager.pool.arenas,
            dropped=dropped,
            released=tuple(sequence.id for sequence in decision.preempted),
            prefill_tokens=decision.prefill_tokens,
        )
        decision.seconds = self._budget.seconds(decision.plan.shape) if decision.plan.chunks else 0.0
        return decision

    def _prefill(self, sequence: Sequence, most: int, decision: Schedule) -> int:
        """Plans up to ``most`` tokens of a prompt, and returns how many it were."""
        if sequence.lacks_scores:
            most = min(most, self._most_scored - decision.scored)
        planned = self._plan(sequence, min(most, sequence.to_compute), decision)
        decision.prefill_tokens += planned
        return planned

    def _plan_prompts(self, budget: PromptBudget, decision: Schedule) -> None:
        """Spends ``budget`` on prompts that are being computed, and on those that wait, in order of rank."""
        prefilling = [one for one in self.running.values() if not one.decodes and one.to_compute and not one.in_flight]
        prefilling.sort(key=self.waiting.rank)
        admitting = True
        for sequence in heapq.merge(prefilling, list(self.waiting), key=self.waiting.rank):
            if budget.is_spent:
                return
            if not (left := budget.left_for(sequence)) or (sequence.lacks_scores and decision.scored >= self._most_scored):
                continue
            if sequence.id not in self.running:
                if not admitting or self._waits_for_a_prefix(sequence) or sequence.in_flight:  # its last token is on its way
                    continue
                admitting = self._admit(sequence, decision)
                if sequence.id in self.running and not sequence.to_compute:
                    decision.nothing_to_do.append(sequence)
                    continue
            budget.spent += self._prefill(sequence, left, decision)

    def _waits_for_a_prefix(self, sequence: Sequence) -> bool:
        """Tells whether another sequence computes what it would have to compute."""
        return sequence.awaited is not None and self._manager.is_computing(sequence.awaited)

    def _admit(self, sequence: Sequence, decision: Schedule) -> bool:
        """Lets a waiting sequence run, if there is room, and nobody computes what it needs. Returns False where nobody behind it may run
        either.
        """
        if len(self.running) >= self._limits.max_sequences or decision.preempted:
            return False
        lookup = NOTHING_FOUND if sequence.lacks_scores else self._manager.lookup(sequence.chain, sequence.tokens)
        sequence.awaited = lookup.computing
        if lookup.computing is not None:
            return True
        if self._has_room(sequence, lookup):
            self._start(sequence, lookup, decision)
            return True
        if self._can_never_run(sequence):
            decision.too_large.append(sequence)
            return True
        return False

    def _has_room(self, sequence: Sequence, lookup: Lookup) -> bool:
        """Tells whether there is room for all of its tokens and one more, and the watermark, beside what it finds in the cache."""
        pool = self._manager.pool
        spare = int(WATERMARK * pool.capacity) if self.running else 0
        # Cached blocks it would take over count as available now, and will not any more.
        taken_over = sum(not pool.references(block) for block in lookup.blocks)
        return self._manager.blocks_for(sequence.length + 1) - len(lookup.blocks) + spare <= pool.available - taken_over

    def _can_never_run(self, sequence: Sequence) -> bool:
        return self._manager.blocks_for(len(sequence.tokens) + 1) > self._manager.pool.capacity

    def _too_large(self, sequence: Sequence) -> CacheTooSmallError:
        needed, capacity = self._manager.blocks_for(len(sequence.tokens) + 1), self._manager.pool.capacity
        return CacheTooSmallError(
            f"the prompt needs {needed} blocks of cache, but the pool has {capacity}; raise cache.memory or shorten the prompt"
        )

    def _start(self, sequence: Sequence, lookup: Lookup, decision: Schedule) -> None:
        sequence.resume = self._manager.open(sequence.id, sequence.chain, lookup)
        sequence.computed = lookup.cached_tokens
        if not sequence.is_announced:
            sequence.cached_tokens, sequence.cache = lookup.cached_tokens, lookup.outcome
            decision.started.append(sequence)
        self.waiting.remove(sequence)
        self.running[sequence.id] = sequence

    def _plan(self, sequence: Sequence, count: int, decision: Schedule) -> int:
        """Reserves room for ``count`` more tokens, and plans them; returns 0 where there is none."""
        if sequence.id not in self.running:  # not admitted, or preempted for another one in this very step
            return 0
        start = sequence.computed
        stops = self._stops(sequence, start + count)
        if not self._reserve(sequence, stops[-1], decision):
            return 0
        runs = self._manager.runs(sequence.id)
        for stop in stops:
            decision.chunks.append(self._chunk(sequence, stop, runs, decision))
        decision.planned.add(sequence.id)
        return stops[-1] - start

    def _stops(self, sequence: Sequence, stop: int) -> list[int]:
        """Returns where chunks end on the way to ``stop``. With recurrent state one ends at the last block boundary, for its snapshot; what
        lies behind that is left to the next step. At the end of the tokens there is one at the last boundary before it: the same prompt
        again may begin there, for its last token is always computed.
        """
        if self._manager.snapshots is None:
            return [stop]
        size, is_end = self._manager.block_size, stop == sequence.length
        boundary = (stop - 1) // size * size if is_end else stop // size * size
        if boundary <= sequence.computed:
            return [stop]
        return [boundary, stop] if is_end else [boundary]

    def _chunk(self, sequence: Sequence, stop: int, runs: tuple[Run, ...], decision: Schedule) -> Chunk:
        """Returns the next chunk. What is planned will be computed, in the order of the plan: whoever is planned behind it may use its
        blocks already. If the step fails, everything that is cached is dropped.
        """
        start = sequence.computed
        tokens = tuple(sequence.tokens[start:stop]) if stop <= sequence.verified else None
        samples = stop == sequence.length
        keep = self._manager.plan_snapshot(sequence.id, stop)
        chunk = Chunk(sequence.id, start, stop - start, tokens, runs, samples, sequence.resume, keep, sequence.targets(stop))
        self._manager.commit(sequence.id, sequence.tokens, min(stop, sequence.verified))
        sequence.computed, sequence.resume = stop, None
        sequence.in_flight += samples
        decision.scored += len(chunk.targets)
        return chunk

    def _reserve(self, sequence: Sequence, tokens: int, decision: Schedule) -> bool:
        """Reserves blocks for so many tokens, taken, if need be, from whoever would go last of those not planned in this step yet. One that
        would go last itself waits, with what it has, until others leave.
        """
        while not self._manager.reserve(sequence.id, tokens, growing=sequence.generated > 0):
            unplanned = [one for one in self.running.values() if one.id not in decision.planned]
            victim = max(unplanned, key=self.waiting.rank)
            if victim is not sequence:
                self._preempt(victim, decision)
                continue
            if len(self.running) == 1:
                (decision.out_of_room if sequence.generated else decision.too_large).append(sequence)
            return False
        return True

    def _preempt(self, victim: Sequence, decision: Schedule) -> None:
        del self.running[victim.id]
        self._manager.close(victim.id)
        victim.wait_anew()
        self.waiting.add(victim)
        decision.preempted.append(victim)

    def _compact(self, decision: Schedule) -> None:
        """Moves the blocks of one sequence that is in too many pieces together."""
        for sequence in self.running.values():
            runs = len(self._manager.runs(sequence.id))
            if runs <= max(_MANY_RUNS, sequence.compact_at):
                continue
            move = self._manager.move_private(sequence.id)
            sequence.compact_at = runs + 1 if move is None else 0  # not again at every step
            if move is not None:
                decision.moves.append(move)
                return

    # ---- after the step ----

    def update(self, schedule: Schedule, result: StepResult | None, seconds: float, report: StepReport | None = None) -> StepReport:
        """Takes in what the step before computed: tokens, ends, and blocks that may be shared. It took ``seconds``. An end is in ``report``
        before its sequence is forgotten, so that it is told whatever goes wrong after it.
        """
        report = report or StepReport()
        report.preemptions = len(schedule.preempted)
        for sequence in schedule.started:
            sequence.is_announced = True
            report.started.append(_started(sequence))
        for sequence in schedule.nothing_to_do:
            self._end_prompt(sequence, report)
        for sequence in schedule.too_large:
            report.fail([sequence.id], self._too_large(sequence))
            self.forget(sequence.id)
        if result is not None:
            self._take_result(result, report)
            plan = result.plan
            report.seconds, report.tokens, report.rows = seconds, plan.rows, len({chunk.sequence for chunk in plan.chunks})
            self._budget.observe(seconds, plan.shape)
        for sequence in schedule.out_of_room:
            if sequence.id in self._known:
                self._end(sequence, FinishReason.LENGTH, report)
        return report

    def fail(self, error: Exception, report: StepReport) -> None:
        """Takes in that a step could not be computed: whoever was in it, or in the one behind it, ends, unless ``report`` has its end
        already. Those that wait go on waiting, and hold nothing. Blocks are not given back: the cache is to be reset.
        """
        untouched = [sequence for sequence in self.waiting if sequence.id not in self.running and not sequence.in_flight]
        waiting = {sequence.id: sequence for sequence in untouched if sequence.id not in report.ended and sequence.id not in report.failed}
        report.fail([request_id for request_id in self._known if request_id not in waiting], error)
        self._known, self.running, self.waiting = waiting, {}, WaitingLine(self._limits.priority_ageing)
        for sequence in waiting.values():
            sequence.wait_anew()
            self.waiting.add(sequence)

    def _take_result(self, result: StepResult, report: StepReport) -> None:
        for chunk in result.plan.chunks:
            sequence = self._known.get(chunk.sequence)
            if sequence is None:  # ended or aborted while the step ran
                continue
            if (error := result.failed.get(chunk.sequence)) is not None:
                report.fail([sequence.id], error)
                self.forget(sequence.id)
                continue
            if sequence.id in self.running:
                self._manager.commit(sequence.id, sequence.tokens, min(chunk.start + chunk.count, sequence.verified))
            self._take_scores(sequence, chunk, result, report)
            if not sequence.request.max_tokens and chunk.start + chunk.count == sequence.length - 1:
                self._end_prompt(sequence, report)
            if chunk.samples:
                self._take_tokens(sequence, result.sampled[chunk.sequence], report)

    def _take_scores(self, sequence: Sequence, chunk: Chunk, result: StepResult, report: StepReport) -> None:
        """Takes in what a chunk says of the prompt's tokens, and tells it once it is known of them all."""
        if chunk.targets:
            before = sum(len(one.targets) for one in result.plan.chunks if one.sequence == sequence.id and one.start < chunk.start)
            sequence.take_scores(chunk.start, result.scored[sequence.id][before : before + len(chunk.targets)])
        self._tell_scores(sequence, report)

    def _tell_scores(self, sequence: Sequence, report: StepReport) -> None:
        if sequence.request.prompt_logprobs and not sequence.lacks_scores and not sequence.is_scored:
            sequence.is_scored = True
            report.scored.append(PromptScored(sequence.id, tuple(sequence.scores)))

    def _end_prompt(self, sequence: Sequence, report: StepReport) -> None:
        """Ends a sequence behind whose prompt nothing is wanted."""
        self._tell_scores(sequence, report)
        self._end(sequence, FinishReason.LENGTH, report)

    def _take_tokens(self, sequence: Sequence, tokens: tuple[SampledToken, ...], report: StepReport) -> None:
        """Takes in what was sampled. What is behind an end token, or beyond ``max_tokens``, is nobody's."""
        sequence.in_flight -= 1
        room = sequence.request.max_tokens - (len(sequence.tokens) - len(sequence.request.tokens))
        ends = sequence.request.ends(self._end_tokens)
        end = next((at for at, token in enumerate(tokens[:room], start=1) if token.id in ends), None)
        taken = tokens[: room if end is None else end]
        sequence.tokens += [token.id for token in taken]
        report.sampled.append(Sampled(sequence.id, taken, is_end=end is not None))
        if end is not None or len(taken) == room:
            self._end(sequence, FinishReason.LENGTH if end is None else FinishReason.STOP, report)

    def _end(self, sequence: Sequence, reason: FinishReason, report: StepReport) -> None:
        report.ended[sequence.id] = reason
        self.forget(sequence.id)


def _started(sequence: Sequence) -> Started:
    prompt = len(sequence.request.tokens)
    return Started(id=sequence.id, prompt_tokens=prompt, cached_tokens=sequence.cached_tokens, cache=sequence.cache)
