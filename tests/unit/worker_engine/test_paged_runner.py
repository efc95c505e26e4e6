"""Scheduler and paged runner over a simulated device that checks every block and every state a sequence reads."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mlxd.errors import CacheTooSmallError, GenerationError
from mlxd.types import CacheOutcome, FinishReason, Limits, SamplingParams
from mlxd.worker.engine.paged_runner import PagedRunner
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.engine.step_budget import MINIMUM, StepBudget
from mlxd.worker.kv import free_extents
from mlxd.worker.kv.block_chain import root_digest
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.sizing import CacheSizing
from mlxd.worker.kv.state_snapshots import StateSnapshots
from tests.unit.worker_engine.simulated_executor import SimulatedExecutor, next_token

BLOCK = 4
ROOT = root_digest("model")


class Rig:
    """A paged runner stepped by hand, and what it said."""

    def __init__(self, *, blocks=64, arenas=1, snapshots=None, max_sequences=8, step_tokens=16, **executor):
        self.limits = Limits(max_sequences=max_sequences, step_tokens=step_tokens, cache_bytes=blocks * arenas * BLOCK)
        self.manager = Manager(
            block_size=BLOCK,
            arena_blocks=blocks,
            max_arenas=arenas,
            snapshots=None if snapshots is None else StateSnapshots(snapshots),
        )
        self.executor = SimulatedExecutor(BLOCK, has_state=snapshots is not None, **executor)
        self.scheduler = Scheduler(
            self.manager, self.limits, StepBudget(largest=32), root=lambda _: ROOT, end_tokens=self.executor.end_tokens
        )
        self.runner = PagedRunner(self.scheduler, self.manager, self.executor, CacheSizing(BLOCK, 1, 0), self.limits)
        self.reports, self.tokens, self.started, self.ended, self.failed, self.requests = [], {}, {}, {}, {}, {}
        self.preemptions = 0

    def add(self, name, prompt, max_tokens=5, *, priority=0, arrived=None):
        arrived = len(self.requests) if arrived is None else arrived
        request = EngineRequest(name, list(prompt), max_tokens, SamplingParams(temperature=0), priority=priority, arrived=arrived)
        self.requests[name] = request
        try:
            self.runner.add(request)
        except CacheTooSmallError as error:
            self.failed[name] = error

    def step(self):
        report = self.runner.step()
        self.reports.append(report)
        self.preemptions += report.preemptions
        for event in report.started:
            assert event.id not in self.started
            self.started[event.id] = event
        for event in report.sampled:
            self.tokens.setdefault(event.id, []).append(event.token)
        for name in (*report.ended, *report.failed):
            assert name not in self.ended
            assert name not in self.failed
        self.ended |= report.ended
        self.failed |= report.failed
        self.manager.check_integrity()
        if self.manager.snapshots is not None:
            assert len(self.executor.snapshots) <= len(self.manager.snapshots) + len(self.manager.snapshots._dropped)

    def run(self, limit=2000):
        for _ in range(limit):
            if self.runner.is_idle:
                return
            self.step()
        raise AssertionError("it does not come to an end")

    def expected(self, name):
        tokens, request = list(self.requests[name].tokens), self.requests[name]
        while len(tokens) - len(request.tokens) < request.max_tokens:
            tokens.append(next_token(tokens, self.executor.ends_after))
            if tokens[-1] in self.executor.end_tokens:
                break
        return tokens[len(request.tokens) :]

    def all_right(self, *names):
        """These ended with the tokens they get alone."""
        return {name: self.tokens[name] for name in names} == {name: self.expected(name) for name in names}


def test_a_request_gets_its_tokens_and_its_end():
    rig = Rig()
    rig.add("a", range(1, 8))
    rig.run()
    assert rig.tokens["a"] == rig.expected("a")
    assert rig.ended["a"] is FinishReason.LENGTH
    assert rig.manager.counts().used == 0


def test_an_end_token_ends_it():
    rig = Rig(ends_after=9)
    rig.add("a", range(1, 8), max_tokens=50)
    rig.run()
    assert rig.tokens["a"][-1] == 0
    assert rig.ended["a"] is FinishReason.STOP


def test_a_long_prompt_is_computed_in_chunks_beside_streams_that_go_on():
    rig = Rig(step_tokens=8)
    rig.add("stream", [1, 2], max_tokens=40)
    for _ in range(4):
        rig.step()
    rig.add("long", range(1, 60), max_tokens=1)
    before = len(rig.tokens["stream"])
    steps = 0
    while "long" not in rig.ended:
        rig.step()
        steps += 1
    assert steps >= 59 // 8
    assert len(rig.tokens["stream"]) - before >= steps - 2
    assert max(report.tokens for report in rig.reports) <= 8


def test_the_budget_is_never_exceeded_by_more_than_the_decode_rows():
    rig = Rig(step_tokens=6)
    for number in range(5):
        rig.add(str(number), range(number, number + 20))
    rig.run()
    assert max(report.tokens for report in rig.reports) <= 6


def test_ten_at_once_with_a_shared_beginning_compute_it_once():
    rig = Rig(blocks=200, max_sequences=10, step_tokens=32)
    system = list(range(1, 41))
    for number in range(10):
        rig.add(str(number), [*system, 100 + number], max_tokens=3)
    rig.run()
    assert rig.executor.computed < len(system) + 10 * 5
    assert [rig.started[str(number)].cache for number in range(10)] == [CacheOutcome.MISS] + [CacheOutcome.HIT] * 9
    assert rig.all_right(*rig.requests)


def test_whoever_waits_for_a_prefix_goes_on_when_the_one_computing_it_is_aborted():
    rig = Rig(step_tokens=4)
    rig.add("first", range(1, 41))
    rig.step()
    rig.add("second", [*range(1, 41), 7])
    rig.step()
    rig.runner.abort("first")
    rig.run()
    assert "first" not in rig.ended
    assert rig.tokens["second"] == rig.expected("second")


def test_out_of_blocks_the_youngest_is_preempted_and_finishes_later_with_the_same_tokens():
    rig = Rig(blocks=10, step_tokens=64)
    for name in "abc":
        rig.add(name, [ord(name), *range(1, 8)], max_tokens=20)
    rig.run()
    assert rig.preemptions > 0
    assert rig.all_right(*"abc")


def test_alone_in_a_full_pool_it_ends_with_length():
    rig = Rig(blocks=3)
    rig.add("a", range(1, 8), max_tokens=100)
    rig.run()
    assert rig.ended["a"] is FinishReason.LENGTH
    assert 0 < len(rig.tokens["a"]) < 100


def test_what_can_never_fit_is_refused_at_once():
    rig = Rig(blocks=3)
    rig.add("a", range(1, 50))
    rig.add("b", range(1, 5))
    rig.run()
    assert isinstance(rig.failed["a"], CacheTooSmallError)
    assert rig.tokens["b"] == rig.expected("b")


def test_a_failing_step_ends_its_requests_with_an_error_and_the_next_ones_run():
    rig = Rig(fail_at={3})
    rig.add("a", range(1, 8), max_tokens=20)
    for _ in range(4):
        rig.step()
    assert isinstance(rig.failed["a"], GenerationError)
    rig.add("b", range(1, 8))
    rig.run()
    assert rig.tokens["b"] == rig.expected("b")
    assert rig.manager.counts().used == 0


def test_max_sequences_bounds_the_batch():
    rig = Rig(max_sequences=2, step_tokens=64)
    for number in range(6):
        rig.add(str(number), [number, 1, 2])
    rig.run()
    assert max(report.rows for report in rig.reports) == 2
    assert len(rig.ended) == 6


def test_a_fault_of_one_row_ends_that_row_only():
    rig = Rig()
    for name in "abc":
        rig.add(name, [ord(name), 1, 2], max_tokens=8)
    for _ in range(3):
        rig.step()
    rig.executor.faulty = {"b"}
    rig.run()
    assert isinstance(rig.failed["b"], GenerationError)
    assert rig.all_right("a", "c")


def test_after_a_fault_nothing_that_was_cached_is_used():
    rig = Rig(fail_at={9})
    rig.add("a", range(1, 30), max_tokens=1)
    rig.run()
    rig.add("b", range(1, 30), max_tokens=30)
    rig.run()
    assert "b" in rig.failed
    rig.add("c", range(1, 30), max_tokens=3)
    rig.run()
    assert rig.started["b"].cached_tokens > 0
    assert rig.started["c"].cached_tokens == 0
    assert rig.all_right("a", "c")


def test_with_equal_priority_the_first_to_arrive_is_the_first_to_run():
    rig = Rig(max_sequences=1)
    for arrived, name in ((3, "c"), (1, "a"), (2, "b")):
        rig.add(name, [ord(name), 1], arrived=arrived)
    rig.run()
    assert list(rig.started) == ["a", "b", "c"]


def test_a_lower_number_goes_first_until_the_others_have_waited_long_enough():
    rig = Rig(max_sequences=1)
    ageing = rig.limits.priority_ageing
    rig.add("patient", [1, 1], arrived=0.0)
    rig.add("urgent", [2, 1], arrived=ageing - 1, priority=-1)
    rig.add("urgent too late", [3, 1], arrived=ageing + 1, priority=-1)
    rig.add("in no hurry", [4, 1], arrived=-ageing + 1, priority=1)
    rig.run()
    assert list(rig.started) == ["urgent", "patient", "urgent too late", "in no hurry"]


def test_the_budget_for_prompts_is_spent_by_priority_too():
    rig = Rig(step_tokens=8, max_sequences=2)
    rig.add("slow", range(1, 60), max_tokens=1)
    rig.step()
    rig.add("urgent", range(100, 140), max_tokens=1, priority=-1)
    rig.run()
    assert list(rig.ended) == ["urgent", "slow"]


def test_who_would_go_last_is_preempted_first():
    rig = Rig(blocks=10, step_tokens=64)
    rig.add("important", [7, *range(1, 8)], max_tokens=20, priority=-1)
    rig.add("one", [8, *range(1, 8)], max_tokens=20)
    rig.add("two", [9, *range(1, 8)], max_tokens=20)
    rig.run()
    assert rig.preemptions > 0
    assert next(iter(rig.ended)) == "important"
    assert rig.all_right("important", "one", "two")


def test_limits_change_between_steps():
    rig = Rig(max_sequences=1, step_tokens=4)
    for number in range(3):
        rig.add(str(number), range(number * 100 + 1, number * 100 + 30), max_tokens=4)
    rig.step()
    assert rig.runner.capacity == 1
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, max_sequences=3, step_tokens=64))
    rig.step()
    rig.step()
    assert rig.reports[-1].rows == 3
    assert rig.runner.capacity == 3
    rig.run()
    assert rig.all_right("0", "1", "2")


def test_the_cache_shrinks_and_grows_under_load():
    rig = Rig(blocks=8, arenas=6, step_tokens=64)
    for number in range(6):
        rig.add(str(number), range(number * 100 + 1, number * 100 + 20), max_tokens=12)
    rig.step()
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=2 * 8 * BLOCK))
    assert rig.runner.cache().limit_bytes == 2 * 8 * BLOCK
    rig.run()
    assert len(rig.manager.pool.arenas) <= 2
    rig.runner.reconfigure(rig.limits)
    rig.add("more", range(5000, 5100), max_tokens=12)
    rig.run()
    assert rig.all_right(*rig.requests)


def test_a_waiting_prompt_that_does_not_fit_any_more_is_refused():
    rig = Rig(blocks=8, arenas=4, max_sequences=1)
    rig.add("running", range(1, 5), max_tokens=8)
    rig.add("long", range(100, 190))
    rig.step()
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=8 * BLOCK))
    rig.run()
    assert isinstance(rig.failed["long"], CacheTooSmallError)
    assert rig.all_right("running")


def test_evicting_drops_what_nobody_holds_and_is_no_eviction_for_want_of_room():
    rig = Rig()
    rig.add("a", range(1, 30))
    rig.run()
    assert rig.runner.cache().blocks_cached > 0
    assert rig.runner.evict_cached() > 0
    assert rig.runner.cache().blocks_cached == 0
    rig.add("b", range(1, 30))
    rig.run()
    assert sum(report.evicted_blocks for report in rig.reports) == 0
    assert rig.started["b"].cache is CacheOutcome.MISS


def test_evictions_for_want_of_room_are_counted():
    rig = Rig(blocks=8)
    for number in range(4):
        rig.add(str(number), range(number * 100 + 1, number * 100 + 20), max_tokens=1)
        rig.run()
    assert sum(report.evicted_blocks for report in rig.reports) > 0


def test_figures_of_shared_blocks():
    rig = Rig(blocks=200, max_sequences=10, step_tokens=64)
    system = list(range(1, 41))
    for number in range(10):
        rig.add(str(number), [*system, 100 + number], max_tokens=6)
    while len(rig.tokens) < 10:
        rig.step()
    figures = rig.runner.cache()
    assert figures.blocks_shared == 10
    assert figures.bytes_saved == 9 * 10 * BLOCK
    assert figures.blocks_used + figures.blocks_cached + figures.blocks_free == 200


def test_a_sequence_in_many_pieces_is_moved_together(monkeypatch):
    monkeypatch.setattr(free_extents, "GAP", 0)
    rig = Rig(blocks=256, step_tokens=64)
    for name in "ab":
        rig.add(name, [ord(name), 1, 2], max_tokens=200)
    moves = 0
    launch = rig.executor.run

    def run(plan):
        nonlocal moves
        moves += len(plan.moves)
        return launch(plan)

    rig.executor.run = run
    most = 0
    while not rig.runner.is_idle:
        rig.step()
        most = max([most, *(len(rig.manager.runs(name)) for name in rig.scheduler.running)])
    assert moves > 0
    assert most <= 10
    assert rig.all_right("a", "b")


# ---- models with recurrent state ----


def test_a_recurrent_model_reuses_a_prompt_up_to_its_deepest_snapshot():
    rig = Rig(snapshots=16)
    prompt = list(range(1, 31))
    rig.add("a", prompt, max_tokens=3)
    rig.run()
    before = rig.executor.computed
    rig.add("b", [*prompt, 99], max_tokens=3)
    rig.run()
    assert rig.started["b"].cached_tokens == 28
    assert rig.executor.computed - before <= 6
    assert rig.all_right("a", "b")


def test_a_recurrent_model_s_next_turn_begins_after_the_answer():
    rig = Rig(snapshots=16)
    rig.add("a", list(range(1, 12)), max_tokens=14)
    rig.run()
    history = [*range(1, 12), *rig.tokens["a"]]
    rig.add("b", [*history, 99, 98], max_tokens=3)
    rig.run()
    assert rig.started["b"].cached_tokens == 24
    assert rig.all_right("a", "b")


def test_ten_at_once_with_a_shared_beginning_reuse_it_in_a_recurrent_model_too():
    rig = Rig(blocks=200, max_sequences=10, step_tokens=16, snapshots=16)
    system = list(range(1, 41))
    for number in range(10):
        rig.add(str(number), [*system, 100 + number], max_tokens=3)
    rig.run()
    assert rig.executor.computed <= len(system) + 10 * 5
    assert rig.all_right(*rig.requests)


class Traffic(RuleBasedStateMachine):
    """Arrivals, aborts, faults, other limits and steps in any order, on pools of any size; prompts of few tokens, so that prefixes
    collide.
    """

    @initialize(
        blocks=st.integers(4, 20),
        arenas=st.integers(1, 3),
        max_sequences=st.integers(1, 6),
        step_tokens=st.integers(1, 24),
        ends_after=st.integers(4, 40),
        snapshots=st.none() | st.integers(1, 6),
        ahead=st.booleans(),
    )
    def start(self, **options):
        self.rig = Rig(**options)
        self.aborted = set()
        self.faulty = set()
        self.names = 0

    @rule(prompt=st.lists(st.integers(1, 2), min_size=1, max_size=24), max_tokens=st.integers(1, 12), priority=st.integers(-2, 2))
    def arrive(self, prompt, max_tokens, priority):
        self.names += 1
        self.rig.add(str(self.names), prompt, max_tokens, priority=priority)

    @rule(steps=st.integers(1, 5))
    def step(self, steps):
        for _ in range(steps):
            if not self.rig.runner.is_idle:
                self.rig.step()

    @precondition(lambda self: self.names > 0)
    @rule(data=st.data())
    def abort(self, data):
        name = str(data.draw(st.integers(1, self.names)))
        if name not in self.rig.ended and name not in self.rig.failed:
            self.aborted.add(name)
            self.rig.runner.abort(name)

    @precondition(lambda self: self.names > 0)
    @rule(data=st.data())
    def break_row(self, data):
        self.faulty.add(str(data.draw(st.integers(1, self.names))))
        self.rig.executor.faulty = self.faulty

    @rule(arenas=st.integers(1, 3), max_sequences=st.integers(1, 6), step_tokens=st.integers(1, 24))
    def reconfigure(self, arenas, max_sequences, step_tokens):
        size = arenas * self.rig.manager.pool.arena_blocks * BLOCK
        limits = msgspec.structs.replace(self.rig.limits, cache_bytes=size, max_sequences=max_sequences, step_tokens=step_tokens)
        self.rig.runner.reconfigure(limits)

    @rule()
    def evict(self):
        self.rig.runner.evict_cached()

    def teardown(self):
        if not hasattr(self, "rig"):
            return
        self.rig.run()
        assert set(self.rig.ended) | set(self.rig.failed) | self.aborted == set(self.rig.requests)
        for name, error in self.rig.failed.items():
            assert isinstance(error, CacheTooSmallError) or name in self.faulty
        for name, reason in self.rig.ended.items():
            got, want = self.rig.tokens.get(name, []), self.rig.expected(name)
            assert got == want or (got == want[: len(got)] and reason is FinishReason.LENGTH)
        assert self.rig.manager.counts().used == 0


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)


@given(
    base=st.floats(0.001, 0.5),
    per_token=st.floats(1e-5, 0.02),
    target=st.floats(0.01, 1),
    rows=st.integers(1, 32),
    largest=st.integers(64, 2048),
)
@settings(deadline=None)
def test_the_budget_learns_what_keeps_a_step_within_its_target(base, per_token, target, rows, largest):
    budget = StepBudget(largest=largest)
    for _ in range(60):
        budget.observe(seconds=base, prefill_tokens=0, decode_rows=rows)
        tokens = budget.prefill_tokens(Limits(target_itl=target), decode_rows=rows)
        assert MINIMUM <= tokens <= largest
        budget.observe(seconds=base + per_token * tokens, prefill_tokens=tokens, decode_rows=rows)
    tokens = budget.prefill_tokens(Limits(target_itl=target), decode_rows=rows)
    assert base + per_token * tokens <= target * 1.1 or tokens == MINIMUM


def test_with_nobody_to_disturb_chunks_are_as_large_as_is_efficient():
    assert StepBudget(largest=512).prefill_tokens(Limits(target_itl=0.001), decode_rows=0) == 512


@pytest.mark.parametrize("rows", [1, 16])
def test_before_anything_is_known_the_first_chunks_are_small(rows):
    assert StepBudget(largest=2048).prefill_tokens(Limits(target_itl=0.2), decode_rows=rows) <= 64
