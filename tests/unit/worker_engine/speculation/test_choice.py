"""How many guesses of whom: the best there is, by trying all."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.engine.speculation.acceptance import Acceptance
from mlxd.worker.engine.speculation.choice import worthwhile
from mlxd.worker.engine.speculation.step_seconds import StepSeconds

KINDS = ("lookup-3", *["lookup-3 on"] * 3)

chances = st.lists(st.floats(0.01, 1), max_size=4).map(lambda found: list(itertools.accumulate(found, lambda a, b: a * b)))


@given(offered=st.lists(chances, max_size=3), more=st.integers(0, 3), costs=st.lists(st.floats(0, 1), min_size=13, max_size=13))
def test_no_other_number_of_guesses_gives_more_tokens_a_second(offered, more, costs):
    streams = len(offered) + more + 1
    seconds = list(itertools.accumulate([1.0, *costs]))
    choice = worthwhile(streams, {str(name): values for name, values in enumerate(offered)}, seconds)
    rates = []
    for counts in itertools.product(*(range(len(values) + 1) for values in offered)):
        tokens = streams + sum(sum(values[:count]) for values, count in zip(offered, counts, strict=True))
        rates.append(tokens / seconds[sum(counts)])
    assert choice.rate >= max(rates) - 1e-9
    assert sum(choice.wanted.values()) == 0 or choice.rate > 1.009 * streams / seconds[0]


def test_a_guess_that_is_sure_and_free_is_taken_and_one_that_is_neither_is_not():
    assert worthwhile(1, {"a": [0.9, 0.8]}, [1.0, 1.01, 1.02]).wanted == {"a": 2}
    assert worthwhile(1, {"a": [0.1, 0.01]}, [1.0, 1.3, 1.6]).wanted == {}


def test_what_was_accepted_of_one_sequence_counts_more_for_it_than_for_others():
    everybody = Acceptance()
    one, other = Acceptance(everybody), Acceptance(everybody)
    for _ in range(6):
        one.observe(KINDS, 4)
        other.observe(KINDS, 0)
    assert one.chance("lookup-3") > 0.8
    assert other.chance("lookup-3") < 0.2
    assert other.chance("lookup-3") < Acceptance(everybody).chance("lookup-3") < one.chance("lookup-3")
    assert one.chance("lookup-3 on") > 0.9


def test_what_nobody_tries_is_tried_again_some_day():
    known = Acceptance(Acceptance())
    for _ in range(50):
        known.observe(("model",) * 4, 0)
    before = known.chance("model")
    for _ in range(3000):
        known.fade("model")
    assert before < 0.05
    assert known.chance("model") > 0.4


@pytest.mark.parametrize("slower", [1, 5])
def test_the_cost_of_rows_is_learned_where_it_is_seen_and_follows_the_device(slower):
    seconds = StepSeconds()
    for _ in range(60):
        for rows, took in ((1, 0.05), (5, 0.054), (9, 0.0725)):
            seconds.observe(slower * took, 1, rows - 1)
    curve = seconds.curve(1, 40)
    assert [round(curve[guesses] / curve[0], 1) for guesses in (4, 8)] == [1.1, 1.4]
    assert curve[0] == pytest.approx(0.05 * slower, rel=0.1)
    assert curve == sorted(curve)


def test_one_slow_step_changes_little():
    seconds = StepSeconds()
    for _ in range(50):
        seconds.observe(0.05, 1)
    seconds.observe(5.0, 1)
    assert seconds.curve(1, 0)[0] < 0.07
