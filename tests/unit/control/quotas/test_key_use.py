"""What one key's holder may, decided by what it uses; and a state machine of random requests, limits and reloads."""

from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mlxd.config.principal import Principal
from mlxd.control.quotas.key_use import Allowance, KeyUse, Right, Spending
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.errors import RateLimitError
from mlxd.types import Usage
from tests.support.examples import examples


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def use(clock):
    return KeyUse("agents", clock)


def holder(**limits):
    return Principal(name="agents", **limits)


def tokens(prompt=0, completion=0, cached=0):
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)


def refusal(use, **limits):
    with pytest.raises(RateLimitError) as refused, use.generation(holder(**limits)):
        pass
    return refused.value


def test_what_is_under_way_is_over_however_it_ends(use):
    with suppress(ZeroDivisionError), use.generation(holder(max_concurrent=1)):
        assert use.running == 1
        assert refusal(use, max_concurrent=1).retry_after == 1
        raise ZeroDivisionError
    assert use.running == 0
    assert use.refused == {Right.MAX_CONCURRENT: 1}


def test_requests_of_a_minute(use, clock):
    for _ in range(3):
        use.ask(holder(requests_per_minute=3))
        clock.now += 10
    refused = refusal(use, requests_per_minute=3)
    assert refused.retry_after == 30
    assert "has used 3 requests within a minute; it may use 3; try again in 30 s" in refused.message
    clock.now += 30
    use.ask(holder(requests_per_minute=3))


def test_a_refused_request_counts_for_nothing(use):
    with use.generation(holder(max_concurrent=1)):
        for _ in range(10):
            refusal(use, max_concurrent=1, requests_per_minute=2)
    assert (use.requests, use.requests_this_minute) == (1, 1)
    use.ask(holder(requests_per_minute=2))


def test_tokens_once_used_let_nothing_more_begin_until_they_are_a_minute_old(use, clock):
    with use.generation(holder(tokens_per_minute=100)):
        use.spend(tokens(prompt=90, cached=80))
        with use.generation(holder(tokens_per_minute=100)):
            use.spend(tokens(completion=30))
            assert refusal(use, tokens_per_minute=100).retry_after == 60
            use.ask(holder(tokens_per_minute=100))  # asks for no tokens
    clock.now += 60
    with use.generation(holder(tokens_per_minute=100)):
        pass
    assert use.used == tokens(prompt=90, cached=80, completion=30)


def test_prompts_that_wait_count_for_what_is_expected_of_them_until_they_are_known(use):
    limited = holder(tokens_per_minute=100)
    with use.generation(limited, expected=60) as first, use.generation(limited, expected=60):
        assert use.allowances(limited).tokens.remaining == 0
        refused = refusal(use, tokens_per_minute=100)
        assert refused.retry_after == 1
        assert "has used 0 tokens within a minute, and some 120 are waited for; it may use 100" in refused.message
        first.add(tokens(prompt=5))
        assert (use.held_tokens, use.tokens_this_minute) == (60, 5)
        with use.generation(limited):  # 65 of 100
            first.add(tokens(completion=3))
    assert (use.held_tokens, use.tokens_this_minute) == (0, 8)


def test_limits_are_those_of_the_moment(use):
    with use.generation(holder()):
        use.spend(tokens(prompt=500))
    refusal(use, tokens_per_minute=500)
    with use.generation(holder(tokens_per_minute=501)):
        pass


def test_what_is_left(use, clock):
    use.ask(holder())
    clock.now += 20
    use.spend(tokens(prompt=30))
    left = use.allowances(holder(requests_per_minute=10, tokens_per_minute=20))
    assert left.requests == Allowance(limit=10, remaining=9, reset=40)
    assert left.tokens == Allowance(limit=20, remaining=0, reset=60)
    assert use.allowances(holder()).requests is None


def test_a_key_that_comes_back_within_a_minute_does_not_begin_anew(clock):
    holders = [holder()]
    uses = KeyUses(lambda: holders, clock)
    uses.of(holders[0]).spend(tokens(prompt=7))
    holders.clear()
    uses.of(Principal(name="other"))
    assert uses.of(holder()).tokens_this_minute == 7
    clock.now += 61
    uses.of(Principal(name="another"))
    assert uses.of(holder()).used == tokens()


def test_those_of_the_running_configuration_are_kept_however_idle_they_are(clock):
    holders = [holder()]
    uses = KeyUses(lambda: holders, clock)
    uses.of(holders[0]).spend(tokens(prompt=7))
    clock.now += 1000
    uses.of(Principal(name="other"))
    assert [(one.holder, one.use.used) for one in uses.current()] == [(holders[0], tokens(prompt=7))]


limits = st.one_of(st.none(), st.integers(1, 6))


@dataclass(eq=False)
class UnderWay:
    spending: Spending
    end: ExitStack
    expected: int


class Requests(RuleBasedStateMachine):
    """Whole seconds pass, so that what counts is known to the token."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.holder = Principal(name="agents")
        self.configured = True
        self.uses = KeyUses(lambda: [self.holder] if self.configured else [], self.clock)
        self.under_way = []
        self.asked, self.spent = [], []  # (when, how much)

    def of_this_minute(self, history):
        return sum(amount for at, amount in history if self.clock.now - at < 60)

    @property
    def held(self):
        """Tokens that are expected of prompts that have not begun."""
        return sum(one.expected for one in self.under_way)

    @property
    def exceeded(self):
        """The limits that are reached, by a count of everything that happened."""
        reached = {
            Right.MAX_CONCURRENT: (self.holder.max_concurrent, len(self.under_way)),
            Right.REQUESTS_PER_MINUTE: (self.holder.requests_per_minute, self.of_this_minute(self.asked)),
            Right.TOKENS_PER_MINUTE: (self.holder.tokens_per_minute, self.of_this_minute(self.spent) + self.held),
        }
        return {right for right, (limit, used) in reached.items() if limit is not None and used >= limit}

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule(concurrent=limits, requests=limits, per_minute=limits)
    def reload(self, concurrent, requests, per_minute):
        self.holder = Principal(name="agents", max_concurrent=concurrent, requests_per_minute=requests, tokens_per_minute=per_minute)

    @rule()
    def remove_and_put_back(self):
        self.configured = False
        self.uses.of(Principal(name=f"other-{self.clock.now}"))
        self.configured = True

    @rule(expected=st.integers(0, 3))
    def begin(self, expected):
        exceeded, stack = self.exceeded, ExitStack()
        use = self.uses.of(self.holder)
        try:
            spending = stack.enter_context(use.generation(self.holder, expected))
        except RateLimitError:
            assert exceeded
            return
        assert not exceeded
        self.asked.append((self.clock.now, 1))
        self.under_way.append(UnderWay(spending, stack, expected))

    @rule()
    def count_tokens(self):
        exceeded = self.exceeded
        try:
            self.uses.of(self.holder).ask(self.holder)
        except RateLimitError:
            assert Right.REQUESTS_PER_MINUTE in exceeded
            return
        assert Right.REQUESTS_PER_MINUTE not in exceeded
        self.asked.append((self.clock.now, 1))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), prompt=st.integers(0, 3), completion=st.integers(0, 3))
    def spend(self, data, prompt, completion):
        one = data.draw(st.sampled_from(self.under_way))
        one.spending.add(tokens(prompt, completion))
        one.expected = 0 if prompt else one.expected
        self.spent.append((self.clock.now, prompt + completion))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def end(self, data):
        ended = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(ended)
        ended.end.close()

    @invariant()
    def it_counts_what_happened(self):
        use = self.uses.of(self.holder)
        assert (use.running, use.held_tokens) == (len(self.under_way), self.held)
        assert use.requests_this_minute == self.of_this_minute(self.asked)
        assert use.tokens_this_minute == self.of_this_minute(self.spent)


TestRequests = Requests.TestCase
TestRequests.settings = settings(max_examples=examples(24), stateful_step_count=40, deadline=None)
