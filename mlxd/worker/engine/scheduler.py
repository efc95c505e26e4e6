"""Who computes what in the next step. There is no MLX, no clock, no I/O: values go in, a plan comes out; results go in, a report comes out.

A token budget is spent on streams that run first, then on prompts in order. Blocks are reserved here: when there are none, the sequence
that would go last gives its own back (its full blocks stay cached, so that it resumes with a cache hit).
"""

import heapq
from collections.abc import Collection

import msgspec

from mlxd.types import FinishReason, Limits
from mlxd.worker.engine.adapters.adapters import Adapters
from mlxd.worker.engine.chunks import Chunks
from mlxd.worker.engine.compaction import Compaction
from mlxd.worker.engine.executor import Encoded, StepResult
from mlxd.worker.engine.fetching import Fetching
from mlxd.worker.engine.outlook import LOOKUPS, NOTHING_FOUND, Outlook
from mlxd.worker.engine.places import Places
from mlxd.worker.engine.plan import Encode, StepPlan
from mlxd.worker.engine.prompt_budget import PromptBudget, chunk_length
from mlxd.worker.engine.prompt_turns import Overtaking, overtaking
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.results import Results
from mlxd.worker.engine.room import Room
from mlxd.worker.engine.runner import StepReport
from mlxd.worker.engine.schedule import Schedule
from mlxd.worker.engine.seeing import Seeing
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.sequences import Sequences
from mlxd.worker.engine.speculation.drafter import Guesses
from mlxd.worker.engine.speculation.speculation import Speculation
from mlxd.worker.engine.state_marks import prompt_ends
from mlxd.worker.engine.step_budget import ENCODING, StepBudget
from mlxd.worker.engine.waiting_line import WaitingLine
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.lookup import Lookup
from mlxd.worker.kv.manager import Manager

MOST_SCORED = 64  # targets of one step, where nobody knows how large a row of logits is
NO_GUESSES = Guesses()


class Scheduler:
    """The scheduler owns the order of sequences and their blocks."""

    def __init__(  # noqa: PLR0913  # what decides, each by itself
        self,
        manager: Manager,
        limits: Limits,
        budget: StepBudget,
        *,
        end_tokens: Collection[int],
        most_scored: int = MOST_SCORED,
        speculation: Speculation | None = None,
        fetching: Fetching | None = None,
        seeing: Seeing | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        self._speculation = speculation or Speculation(limits)
        self.fetching = fetching or Fetching()
        self.seeing = seeing or Seeing()
        self.adapters = adapters or Adapters()
        self._sequences = Sequences(manager, limits.priority_ageing, self._forgotten)
        self._results = Results(self._sequences, manager, end_tokens)
        self._limits = limits
        self._manager = manager
        self._room = Room(manager)
        self._compaction = Compaction(manager)
        self._chunks = Chunks(self._sequences, manager, self.fetching, self.adapters)
        self._budget = budget
        self._most_scored = most_scored
        self._places = Places((), limits.max_sequences)
        self._overtaking = Overtaking()
        self._outlook = Outlook(manager, self.fetching, self.adapters)

    def add(self, request: EngineRequest) -> None:
        """Adds a new sequence, which waits. Raises ``CacheTooSmallError`` for what could never run, and ``UnsupportedParameterError`` for
        what is asked of a picture that is seen as a whole, and cannot be told of it.
        """
        chain = request.chain or BlockChain.of(request.prompt, self._manager.block_size)
        sequence = Sequence(request, chain, self._sequences.added)
        if self._room.can_never_hold(sequence):
            raise self._room.too_large(sequence)
        sequence.media.check(request)
        self.adapters.add(request)
        self._sequences.add(sequence)
        self.seeing.add(sequence)

    def forget(self, request_id: str) -> None:
        """Forgets what is finished, failed or aborted: its blocks are free, or cached, at once. Does nothing if it is not known."""
        self._sequences.forget(request_id)

    def chain(self, request_id: str) -> BlockChain | None:
        """Returns the names of the full blocks of a sequence that is running or waiting."""
        return self._sequences.chain(request_id)

    @property
    def waiting(self) -> WaitingLine[Sequence]:
        """Returns those that wait, by rank."""
        return self._sequences.waiting

    @property
    def running(self) -> dict[str, Sequence]:
        """Returns those that run, by admission."""
        return self._sequences.running

    @property
    def is_idle(self) -> bool:
        """Tells whether there is nothing to do, now or later."""
        return not self._sequences.known

    def reconfigure(self, limits: Limits) -> None:
        """Makes the limits hold from the next step on. The pool's size is its owner's business."""
        self._limits = limits
        self._speculation.reconfigure(limits)
        self.waiting.ageing = limits.priority_ageing

    def _forgotten(self, request_id: str) -> None:
        self._speculation.close(request_id)
        self.fetching.forget(request_id)
        self.seeing.forget(request_id)
        self.adapters.forget(request_id)

    @property
    def awaits_tokens(self) -> bool:
        """Tells whether the newest tokens should be read before the next step is planned: guesses are among them, or pay behind them."""
        return self._speculation.is_awaited or any(one.drafted and one.in_flight for one in self.running.values())

    # ---- before the step ----

    def schedule(self, late: Collection[str] = (), *, is_growing: bool = False) -> Schedule:
        """Advances ``computed`` and ``in_flight`` of what is planned: the next call may come before the step's result. ``late`` are those
        whose last token is not sampled yet. While arenas are ``is_growing``, nothing is moved to where they grow.
        """
        self._manager.trim()  # what is planned below still finds what it moves, and where to
        decision = Schedule(fetches=self.fetching.arrived(is_alone=not self.running), unseen=self.seeing.let_go(self.running))
        self.fetching.ahead(self.waiting)
        self._share_places(decision)
        decoding = sorted((one for one in self.running.values() if one.decodes and one.id not in late), key=self.waiting.rank)
        decision.moves += () if is_growing else self._compaction.moves(decoding)
        guesses = self._speculation.guesses(decoding)
        planned = [sequence for sequence in decoding if self._plan_stream(sequence, guesses.get(sequence.id, NO_GUESSES), decision)]
        for sequence in planned:
            sequence.turns += 1
            sequence.heard = self._sequences.added if sequence.heard is None else sequence.heard
        share = 1 - ENCODING if self.seeing.is_wanted(self.running.values()) else 1.0
        self._plan_prompts(PromptBudget.of(planned, self._budget, self._limits, share), decision)
        snapshots = self._manager.snapshots
        dropped = snapshots.take_dropped() if snapshots is not None else ()
        if decision.chunks:
            for group in self._manager.groups:
                group.pool.grow_ahead()
        decision.plan = StepPlan(
            chunks=tuple(decision.chunks),
            fetches=decision.fetches,
            moves=tuple(decision.moves),
            arenas=self._manager.pool.arenas,
            window_arenas=tuple(group.pool.arenas for group in self._manager.windows),
            dropped=dropped,
            released=tuple(sequence.id for sequence in decision.preempted),
            unseen=decision.unseen,
            prefill_tokens=decision.prefill_tokens,
        )
        decision.seconds = self._budget.seconds(decision.plan.shape) if decision.plan.chunks else 0.0
        spills = self.fetching.spills(decision.seconds, is_idle=self.is_idle)
        encodes = self._plan_encodes(decision)
        decision.plan = msgspec.structs.replace(decision.plan, spills=spills, encodes=encodes) if spills or encodes else decision.plan
        return decision

    def _plan_encodes(self, decision: Schedule) -> tuple[Encode, ...]:
        """Returns what is encoded beside the chunks that are planned."""
        if self.seeing.is_blind:
            return ()
        shape = decision.plan.shape
        seconds = self._budget.encoding(self._limits, shape)
        seconds = self.seeing.spared(seconds) if shape.decode_rows else seconds
        if not seconds:
            return ()
        looking = sorted((one for one in self.running.values() if one.computed < one.media.stop), key=self.waiting.rank)
        encodes = self.seeing.encodes(looking, self._outlook.next_to_see(self.waiting), seconds)
        decision.encoding = self.seeing.lasting(seconds) if encodes else 0.0
        return encodes

    def _plan_stream(self, sequence: Sequence, guesses: Guesses, decision: Schedule) -> int:
        """Plans the newest token of a sequence, with as many guesses of what follows as there is room for that nobody else needs now."""
        if guesses.count and sequence.id in self.running:
            written = sequence.media.written(guesses.tokens)
            guesses = guesses if written == len(guesses.tokens) else guesses.first(written)
            guesses = guesses.first(self._room.for_guesses(sequence, guesses.count, self.running))
        return self._plan(sequence, 1 + guesses.count, decision, guesses)

    def _plan_prompts(self, budget: PromptBudget, decision: Schedule) -> None:
        """Spends ``budget`` on prompts that are being computed, and on those that wait: first on those that overtake, then by rank."""
        prompts = [] if budget.is_spent else self._prompts(decision)
        first = self._first(prompts, decision)
        self._overtaking.begin(budget.whole if first is None else budget.whole_for(first))
        for sequence in overtaking(prompts, first):
            most = min(self._overtaking.left_for(sequence), budget.left_for(sequence))
            self._overtaking.spend(self._prefill(sequence, most, budget, decision))
        for sequence in prompts:
            if budget.is_spent:
                return
            self._prefill(sequence, budget.left_for(sequence), budget, decision)

    def _prompts(self, decision: Schedule) -> list[Sequence]:
        """Returns those with a prompt to compute, running ones and those that wait for no place, in order of rank."""
        prefilling = [one for one in self.running.values() if not one.decodes and self._left(one) and not one.in_flight]
        prefilling.sort(key=self.waiting.rank)
        waiting = [] if decision.preempted or self._places.free <= 0 else list(self.waiting)
        self._outlook.renew(waiting)
        return list(heapq.merge(prefilling, waiting, key=self.waiting.rank))

    def _first(self, prompts: list[Sequence], decision: Schedule) -> Sequence | None:
        """Returns the first of ``prompts`` that may be computed; None where that is not known before it is tried."""
        for sequence in prompts:
            if self._runs(sequence, decision):
                return sequence
            if decision.without_room:
                break
        return next((one for one in prompts if one.id in self.running), None)

    def _prefill(self, sequence: Sequence, most: int, budget: PromptBudget, decision: Schedule) -> int:
        """Plans up to ``most`` tokens of a prompt, unless it has a part of the step already; returns how many it were."""
        if sequence.lacks_scores:
            most = min(most, self._most_scored - decision.scored)
        if most <= 0 or sequence.id in decision.planned or not self._runs(sequence, decision):
            return 0
        planned = self._plan(sequence, chunk_length(most, self._left(sequence)), decision)
        decision.prefill_tokens += planned
        budget.spent += planned
        return planned

    def _runs(self, sequence: Sequence, decision: Schedule) -> bool:
        """Tells whether a sequence has something to compute and may: it runs, or is let in now."""
        if sequence.id not in self.running:
            self._admit(sequence, decision)
        return sequence.id in self.running and sequence not in decision.nothing_to_do and self._left(sequence) > 0

    def _left(self, sequence: Sequence) -> int:
        """Returns how many tokens of a sequence are to be computed that may be: not those of what has yet to be encoded, nor behind it."""
        return min(sequence.to_compute, self.seeing.reach(sequence) - sequence.computed)

    def _admit(self, sequence: Sequence, decision: Schedule) -> None:
        """Lets a waiting sequence run, if there is a place and room, and nobody computes what it needs."""
        if decision.preempted or len(decision.without_room) >= LOOKUPS or sequence in (*decision.too_large, *decision.out_of_room):
            return
        if sequence.in_flight or self._outlook.is_behind(sequence):  # in flight: its last token is on its way
            return
        if not self._places.may_have(sequence, (one for one in self.waiting if not self._outlook.is_behind(one))):
            return
        lookup = self._outlook.look_up(sequence)
        if lookup.computing is not None:
            return
        if not decision.moves and self._room.makes(sequence, lookup, self.running.values()):
            lookup = self._outlook.look_up(sequence)  # what was found may have been evicted
        if self._has_room(sequence, lookup, decision):
            if self.fetching.begins(sequence, lookup):
                return
            self._start(sequence, lookup, decision)
        elif self._room.can_never_hold(sequence):
            (decision.out_of_room if sequence.generated else decision.too_large).append(sequence)
        else:
            decision.without_room.append(sequence)

    def _has_room(self, sequence: Sequence, lookup: Lookup, decision: Schedule) -> bool:
        """Tells whether the cache has room for a sequence, and would still have it for the first one that waits for room."""
        running = self.running.values()
        for first in decision.without_room[:1]:
            behind = [one for one in running if self.waiting.rank(one) > self.waiting.rank(first)]
            if not self._room.has_beside(first, sequence, behind):
                return False
        return self._room.has(sequence, lookup, running)

    def _share_places(self, decision: Schedule) -> None:
        """Takes, where all places are taken, one from a request with many for one that waits with fewer."""
        self._places = Places(self.running.values(), self._limits.max_sequences)
        if not self._places.are_uneven:
            return
        for sequence in self.waiting:
            if sequence.in_flight or self._outlook.is_behind(sequence):
                continue
            giver = self._places.giver(sequence, self.waiting.rank)
            lookup = NOTHING_FOUND if giver is None else self._outlook.look_up(sequence)
            if giver and not lookup.computing and self._room.has(sequence, lookup, self.running.values()):
                self._preempt(giver, decision)
                return

    def _start(self, sequence: Sequence, lookup: Lookup, decision: Schedule) -> None:
        ends = prompt_ends(sequence, self._manager.block_size)
        sequence.resume = self._manager.open(sequence.id, sequence.chain, lookup, ends, sequence.request.holder)
        sequence.computed = sequence.copied = lookup.cached_tokens
        sequence.known = lookup.known_tokens
        if not sequence.is_announced:
            sequence.cached_tokens, sequence.cache = lookup.cached_tokens, lookup.outcome
            sequence.from_disk = self.fetching.used(sequence, lookup)
            self.seeing.started(sequence)
            decision.started.append(sequence)
        self.waiting.remove(sequence)
        self.running[sequence.id] = sequence
        self._places.take(sequence)
        self._outlook.begun += 1
        if not sequence.to_compute:
            decision.nothing_to_do.append(sequence)

    def _plan(self, sequence: Sequence, count: int, decision: Schedule, guesses: Guesses = NO_GUESSES) -> int:
        """Reserves room for ``count`` more tokens, the last of which are ``guesses``, and plans them; returns 0 where there is none."""
        if sequence.id not in self.running:  # not admitted, or preempted for another one in this very step
            return 0
        self._manager.pass_by(sequence.id, min(sequence.computed, sequence.verified))
        count = count if sequence.decodes else self._room.for_prompt(sequence, count, self.running)
        start, stop = sequence.computed, sequence.media.ends(sequence.computed, sequence.computed + count)
        if not self._reserve(sequence, stop, decision):
            return 0
        chunks = self._chunks.of(sequence, stop, guesses)
        decision.chunks += chunks
        decision.scored += sum(len(chunk.targets) for chunk in chunks)
        decision.planned.add(sequence.id)
        return stop - start

    def _reserve(self, sequence: Sequence, tokens: int, decision: Schedule) -> bool:
        """Reserves blocks for so many tokens, taken, if need be, from whoever would go last of those not planned in this step yet. One that
        would go last itself waits, with what it has, until others leave.
        """
        while not self._room.reserve(sequence, tokens, self.running, may_shift=not decision.moves):
            unplanned = [one for one in self.running.values() if one.id not in decision.planned]
            victim = self._places.last(unplanned, self.waiting.rank)
            if victim is not sequence:
                self._preempt(victim, decision)
                continue
            if len(self.running) == 1:
                (decision.out_of_room if sequence.generated else decision.too_large).append(sequence)
            return False
        return True

    def _preempt(self, victim: Sequence, decision: Schedule) -> None:
        del self.running[victim.id]
        self._places.give_back(victim)
        self._manager.close(victim.id)
        victim.wait_anew()
        self.waiting.add(victim)
        decision.preempted.append(victim)

    # ---- after the step ----

    def update(self, schedule: Schedule, result: StepResult | None, seconds: float, report: StepReport | None = None) -> StepReport:
        """Takes in what the step before computed: tokens, ends, and blocks that may be shared. It took ``seconds``. An end is in ``report``
        before its sequence is forgotten, so that it is told whatever goes wrong after it.
        """
        report = report or StepReport()
        report.preemptions = len(schedule.preempted)
        for sequence in schedule.started:
            sequence.is_announced = True
            report.started.append(sequence.beginning)
        for sequence in schedule.nothing_to_do:
            self._results.end_prompt(sequence, report)
        for sequence in schedule.too_large:
            report.fail([sequence.id], self._room.too_large(sequence))
            self.forget(sequence.id)
        if result is not None and result.transfers is not None:
            self.fetching.observe(result.transfers)
        if result is not None and result.encoded is not None:
            self._take_encoded(result.encoded, report)
        if result is not None:
            seconds = max(0.0, seconds - result.besides)
            self._speculation.learn(result.sampled, result.plan.drafted)
            self._results.take(result, report)
            plan = result.plan
            report.drafts = plan.drafts
            report.seconds, report.tokens, report.rows = seconds, plan.rows, len({chunk.sequence for chunk in plan.chunks})
            if plan.chunks:
                self._budget.observe(seconds, plan.shape)
                self._speculation.observe(seconds, plan.shape, result.drafting)
        for sequence in schedule.out_of_room:
            if sequence.id in self._sequences.known:
                self._results.end(sequence, FinishReason.LENGTH, report)
        return report

    def load_adapters(self, report: StepReport, seconds: float) -> None:
        """Goes on with loading adapters for about so many ``seconds``, before a step is planned. Who waits for one that fails ends."""
        for name, error in self.adapters.advance(self.running, seconds).items():
            report.fail([name], error)
            self.forget(name)

    def _take_encoded(self, encoded: Encoded, report: StepReport) -> None:
        for name, error in self.seeing.observe(encoded).items():
            report.fail([name], error)
            self.forget(name)

    def fail(self, error: Exception, report: StepReport) -> None:
        """Takes in that a step could not be computed: whoever was in it, or in the one behind it, ends, unless ``report`` has its end
        already. Those that wait go on waiting, and hold nothing. Blocks are not given back: the cache is to be reset.
        """
        report.fail(self._sequences.begin_anew({*report.ended, *report.failed}, self._limits.priority_ageing), error)
        self.seeing.reset()
