"""Rates and shares between looks, across daemons that start anew and models that come and go."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.control.telemetry import CacheCounters
from mlxd.terminal.top.history import NOW, WINDOW, Recent
from tests.support.statuses import running_status
from tests.unit.terminal.top.looks import PAGED, history, look, request

MODEL = "smollm2"


def test_of_a_single_look_nothing_is_known():
    seen = history(look(100, generated=5000))
    assert seen.recent(MODEL, WINDOW) == Recent()
    assert seen.recent(MODEL, WINDOW).rate("generated") is None
    assert seen.series(MODEL, "generated", 6) == [None] * 6


def test_a_rate_is_what_was_added_by_the_time_it_took():
    recent = history(look(100, 5000, prompt=10), look(102, 5100, prompt=410)).recent(MODEL, NOW)
    assert (recent.rate("generated"), recent.rate("prompt")) == (50.0, 200.0)


def test_the_rate_of_now_is_that_of_the_last_seconds_only():
    seen = history(*(look(100 + second, min(second, 10) * 100) for second in range(15)))
    assert seen.recent(MODEL, NOW).rate("generated") == 0
    assert seen.recent(MODEL, 10).rate("generated") == pytest.approx(60)


def test_what_is_older_than_the_window_is_forgotten():
    seen = history(*(look(100 + second, second) for second in range(200)))
    assert len(seen.intervals[MODEL]) == WINDOW
    assert len(seen.looks) <= NOW + 1


def test_shares_and_latencies_are_of_what_was_added():
    before = look(100, cache=CacheCounters(query_tokens=1000, hit_tokens=1000), first_tokens=(50, 0, 0))
    after = look(101, cache=CacheCounters(query_tokens=1400, hit_tokens=1100), first_tokens=(50, 10, 0))
    recent = history(before, after).recent(MODEL, WINDOW)
    assert recent.hit_share == 0.25
    assert recent.first_token(0.5) == pytest.approx(0.55)
    assert recent.added.first_tokens.total == 10


def test_without_requests_there_are_no_shares_and_no_latencies():
    recent = history(look(100), look(101)).recent(MODEL, WINDOW)
    assert (recent.hit_share, recent.first_token(0.95), recent.rate("generated")) == (None, None, 0.0)


def test_a_new_daemon_counts_from_its_own_start():
    seen = history(look(100, 5000), look(101, 5100), look(131, 60, pid=5, up=timedelta(seconds=3)))
    assert seen.recent(MODEL, NOW).rate("generated") == 20, "60 tokens in the 3 seconds of its life"
    assert seen.series(MODEL, "generated", 60)[-20:-10] == [None] * 10, "nobody knows of the time between"


def test_a_new_daemon_that_is_ahead_of_the_old_one_is_no_growth_of_it():
    seen = history(look(100, 50), look(101, 500, pid=5, up=timedelta(seconds=0.5)))
    assert seen.recent(MODEL, WINDOW).added.generated == 500


def test_counters_that_fell_have_begun_anew_even_if_the_daemon_seems_the_same():
    assert history(look(100, 5000), look(101, 30)).recent(MODEL, WINDOW).added.generated == 30


def test_a_model_that_comes_is_counted_from_then_on_and_one_that_goes_is_forgotten():
    other = running_status("other")
    seen = history(look(100, 10), look(101, 10_000, PAGED, other))
    assert seen.recent("other", WINDOW) == Recent()
    seen = seen.after(look(102, 10_070, PAGED, other))
    assert seen.recent("other", WINDOW).rate("generated") == 70
    seen = seen.after(look(103, 10_080, other))
    assert seen.intervals.keys() == {"other"}


def test_a_daemon_with_other_buckets_is_not_added_to_the_old_one():
    after = look(102, 7, pid=5, up=timedelta(seconds=1))
    after.status["models"][0]["time_to_first_token"] = {"bounds": [1.0], "counts": [3, 0]}
    seen = history(look(100, 50), look(101, 60), after)
    assert seen.recent(MODEL, WINDOW).added.first_tokens.counts == (3, 0)


def test_a_look_after_a_long_silence_spreads_what_was_added():
    seen = history(look(100, 0), look(130, 600))
    assert seen.series(MODEL, "generated", 6)[-3:] == [20, 20, 20]
    assert seen.recent(MODEL, NOW).rate("generated") == 20


def test_a_curve_moves_on_without_changing_its_shape():
    looks = [look(120 + second, second * second) for second in range(40)]
    earlier, later = history(*looks[:-2]), history(*looks)
    assert earlier.series(MODEL, "generated", 30)[1:-1] == later.series(MODEL, "generated", 30)[:-2]


def test_requests_have_a_rate_from_the_second_look_on():
    seen = history(look(100, requests=[request("a", 10)]))
    assert seen.request_rate("a") is None
    seen = seen.after(look(101, requests=[request("a", 30), request("b", 1)]))
    assert (seen.request_rate("a"), seen.request_rate("b"), seen.request_rate("gone")) == (20, None, None)


steps = st.lists(st.tuples(st.floats(0.1, 100), st.integers(0, 10_000), st.booleans()), min_size=1, max_size=30)


@given(steps, st.integers(1, 80))
def test_nothing_is_negative_or_more_than_was_computed(steps, cells):
    at, total, pid, seen = 1000.0, 500, 1, history(look(1000.0, 500, pid=1))
    highest = 0.0
    for seconds, added, restarts in steps:
        at += seconds
        total, pid = (added, pid + 1) if restarts else (total + added, pid)
        seen = seen.after(look(at, total, pid=pid, up=timedelta(seconds=seconds)))
        highest = max(highest, added / seconds)
    rates = [seen.recent(MODEL, WINDOW).rate("generated"), *seen.series(MODEL, "generated", cells)]
    assert all(-1e-9 <= rate <= highest * 1.001 + 1e-6 for rate in rates if rate is not None)
