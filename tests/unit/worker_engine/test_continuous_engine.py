"""Scheduler and continuous engine over a simulated device that checks every block a sequence reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mlxd.types import CacheOutcome, FinishReason, SamplingParams
from mlxd.worker.engine.continuous import ContinuousEngine
from mlxd.worker.engine.events import RequestEnded, RequestFailed, RequestStarted, TokenGenerated
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.scheduler import Limits, PoolTooSmallError, Scheduler
from mlxd.worker.engine.step_budget import MINIMUM, StepBudget
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.prefix_index import root_digest
from tests.unit.worker_engine.simulated_runner import SimulatedRunner, next_token

BLOCK = 4
ROOT = root_digest("model")


class Rig:
    """An engine stepped by hand, and what it said."""

    def __init__(self, *, blocks=64, max_sequences=8, step_tokens=16, **runner):
        self.manager = Manager(block_size=BLOCK, arena_blocks=blocks, max_arenas=1)
        limits = Limits(max_sequences=max_sequences, step_tokens=step_tokens, target_itl=0.2)
        self.scheduler = Scheduler(self.manager, limits, StepBudget(largest=32), lambda _: ROOT)
        self.runner = SimulatedRunner(BLOCK, **runner)
        self.queue = RequestQueue(1000, max_sequences)
        self.engine = ContinuousEngine(self.runner, self.scheduler, self.queue, self.take)
        self.outputs, self.tokens, self.started, self.ended, self.requests = [], {}, {}, {}, {}

    def take(self, output):
        self.outputs.append(output)
        for event in output.events:
            match event:
                case TokenGenerated():
                    self.tokens.setdefault(event.id, []).append(event.token)
                case RequestStarted():
                    self.started[event.id] = event
                case RequestEnded() | RequestFailed():
                    assert event.id not in self.ended, "a request ended twice"
                    self.ended[event.id] = event

    def add(self, name, prompt, max_tokens=5):
        self.queue.announce(name)
        request = EngineRequest(name, list(prompt), max_tokens, SamplingParams(temperature=0))
        self.requests[name] = request
        self.queue.put(request)

    def step(self):
        self.engine.step()
        self.manager.check_integrity()

    def run(self, limit=2000):
        for _ in range(limit):
            if self.scheduler.is_idle and not self.engine._in_flight and not self.queue.waiting:
                return
            self.step()
        raise AssertionError("it does not come to an end")

    def expected(self, name):
        tokens, request = list(self.requests[name].tokens), self.requests[name]
        while len(tokens) - len(request.tokens) < request.max_tokens:
            tokens.append(next_token(tokens, self.runner.ends_after))
            if tokens[-1] in self.runner.end_tokens:
                break
        return tokens[len(request.tokens) :]


def test_a_request_gets_its_tokens_and_its_end():
    rig = Rig()
    rig.add("a", range(1, 8))
    rig.run()
    assert rig.tokens["a"] == rig.expected("a")
    assert rig.ended["a"].reason is FinishReason.LENGTH
    assert rig.manager.counts().used == 0


def test_an_end_token_ends_it():
    rig = Rig(ends_after=9)
    rig.add("a", range(1, 8), max_tokens=50)
    rig.run()
    assert rig.tokens["a"][-1] == 0
    assert rig.ended["a"].reason is FinishReason.STOP


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
    assert max(output.stats.tokens for output in rig.outputs if output.stats) <= 8


def test_the_budget_is_never_exceeded_by_more_than_the_decode_rows():
    rig = Rig(step_tokens=6)
    for number in range(5):
        rig.add(str(number), range(number, number + 20))
    rig.run()
    assert max(output.stats.tokens for output in rig.outputs if output.stats) <= 6


def test_ten_at_once_with_a_shared_beginning_compute_it_once():
    rig = Rig(blocks=200, max_sequences=10, step_tokens=32)
    system = list(range(1, 41))
    for number in range(10):
        rig.add(str(number), [*system, 100 + number], max_tokens=3)
    rig.run()
    assert rig.runner.computed < len(system) + 10 * 5
    assert [rig.started[str(number)].cache for number in range(10)] == [CacheOutcome.MISS] + [CacheOutcome.HIT] * 9
    assert {name: rig.tokens[name] for name in rig.requests} == {name: rig.expected(name) for name in rig.requests}


def test_whoever_waits_for_a_prefix_goes_on_when_the_one_computing_it_is_aborted():
    rig = Rig(step_tokens=4)
    rig.add("first", range(1, 41))
    rig.step()
    rig.add("second", [*range(1, 41), 7])
    rig.step()
    rig.queue.withdraw("first")
    rig.run()
    assert "first" not in rig.ended
    assert rig.tokens["second"] == rig.expected("second")


def test_out_of_blocks_the_youngest_is_preempted_and_finishes_later_with_the_same_tokens():
    rig = Rig(blocks=10, step_tokens=64)
    for name in "abc":
        rig.add(name, [ord(name), *range(1, 8)], max_tokens=20)
    rig.run()
    assert rig.scheduler.preemptions > 0
    assert {name: rig.tokens[name] for name in "abc"} == {name: rig.expected(name) for name in "abc"}


def test_alone_in_a_full_pool_it_ends_with_length():
    rig = Rig(blocks=3)
    rig.add("a", range(1, 8), max_tokens=100)
    rig.run()
    assert rig.ended["a"].reason is FinishReason.LENGTH
    assert 0 < len(rig.tokens["a"]) < 100


def test_what_can_never_fit_is_refused_at_once():
    rig = Rig(blocks=3)
    rig.add("a", range(1, 50))
    rig.add("b", range(1, 5))
    rig.run()
    assert isinstance(rig.ended["a"].error, PoolTooSmallError)
    assert rig.tokens["b"] == rig.expected("b")


def test_a_failing_step_ends_its_requests_with_an_error_and_the_next_ones_run():
    rig = Rig(fail_at={3})
    rig.add("a", range(1, 8), max_tokens=20)
    for _ in range(4):
        rig.step()
    assert isinstance(rig.ended["a"], RequestFailed)
    rig.add("b", range(1, 8))
    rig.run()
    assert rig.tokens["b"] == rig.expected("b")
    assert rig.manager.counts().used == 0


def test_max_sequences_bounds_the_batch():
    rig = Rig(max_sequences=2, step_tokens=64)
    for number in range(6):
        rig.add(str(number), [number, 1, 2])
    rig.run()
    assert max(output.stats.rows for output in rig.outputs if output.stats) == 2
    assert len(rig.ended) == 6


class Traffic(RuleBasedStateMachine):
    """Arrivals, aborts and steps in any order, on pools of any size; prompts of few tokens, so that prefixes collide."""

    @initialize(blocks=st.integers(4, 40), max_sequences=st.integers(1, 6), step_tokens=st.integers(1, 24), ends_after=st.integers(4, 40))
    def start(self, **options):
        self.rig = Rig(**options)
        self.aborted = set()
        self.names = 0

    @rule(prompt=st.lists(st.integers(1, 2), min_size=1, max_size=24), max_tokens=st.integers(1, 12))
    def arrive(self, prompt, max_tokens):
        self.names += 1
        self.rig.add(str(self.names), prompt, max_tokens)

    @rule(steps=st.integers(1, 5))
    def step(self, steps):
        for _ in range(steps):
            self.rig.step()

    @precondition(lambda self: self.names > 0)
    @rule(data=st.data())
    def abort(self, data):
        name = str(data.draw(st.integers(1, self.names)))
        if name not in self.rig.ended:
            self.aborted.add(name)
            self.rig.queue.withdraw(name)

    def teardown(self):
        if not hasattr(self, "rig"):
            return
        self.rig.run()
        assert set(self.rig.ended) | self.aborted == set(self.rig.requests)
        for name, event in self.rig.ended.items():
            if isinstance(event, RequestFailed):
                assert isinstance(event.error, PoolTooSmallError)
                continue
            got, want = self.rig.tokens[name], self.rig.expected(name)
            assert got == want or (got == want[: len(got)] and event.reason is FinishReason.LENGTH)
        assert self.rig.manager.counts().used == 0


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)


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
        tokens = budget.prefill_tokens(decode_rows=rows, target=target)
        assert MINIMUM <= tokens <= largest
        budget.observe(seconds=base + per_token * tokens, prefill_tokens=tokens, decode_rows=rows)
    tokens = budget.prefill_tokens(decode_rows=rows, target=target)
    assert base + per_token * tokens <= target * 1.1 or tokens == MINIMUM


def test_with_nobody_to_disturb_chunks_are_as_large_as_is_efficient():
    assert StepBudget(largest=512).prefill_tokens(decode_rows=0, target=0.001) == 512


@pytest.mark.parametrize("rows", [1, 16])
def test_before_anything_is_known_the_first_chunks_are_small(rows):
    assert StepBudget(largest=2048).prefill_tokens(decode_rows=rows, target=0.2) <= 64
