from hypothesis import given
from hypothesis import strategies as st

from mlxd.config.schema import WorkerTable
from mlxd.control.model.restart_policy import GiveUp, Wait, decide


def policy(*, backoff="1s", most="60s", limit=5, window="600s"):
    return WorkerTable.model_validate(
        {"restart_backoff": backoff, "restart_backoff_max": most, "crash_limit": limit, "crash_window": window}
    )


def waits(table, times):
    return [decide(times[: n + 1], at, table) for n, at in enumerate(times)]


def test_the_wait_doubles_up_to_its_maximum():
    assert waits(policy(limit=100, most="10s"), [0, 1, 2, 3, 4, 5]) == [Wait(1), Wait(2), Wait(4), Wait(8), Wait(10), Wait(10)]


def test_the_limit_within_the_window_is_the_end():
    assert waits(policy(limit=3), [0, 10, 20]) == [Wait(1), Wait(2), GiveUp(3, 600)]


def test_a_limit_of_one_never_restarts():
    assert decide([5.0], 5.0, policy(limit=1)) == GiveUp(1, 600)


def test_crashes_spread_wide_are_forgiven():
    assert waits(policy(limit=2), [0, 601, 1202]) == [Wait(1), Wait(1), Wait(1)]


def test_a_maximum_below_the_first_wait_holds():
    assert decide([0.0], 0.0, policy(backoff="10s", most="2s")) == Wait(2)


def test_a_long_series_do_not_overflow():
    assert decide([float(n) / 100 for n in range(999)], 10.0, policy(limit=1000)) == Wait(60)


gaps = st.lists(st.floats(0, 2000), max_size=30)


@given(gaps, st.integers(1, 10))
def test_it_gives_up_exactly_at_the_limit_and_else_waits_within_bounds(gaps, limit):
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + gap)
    recent = sum(times[-1] - at < 600 for at in times)
    decision = decide(times, times[-1], policy(limit=limit))
    if recent >= limit:
        assert decision == GiveUp(recent, 600)
    else:
        assert 1 <= decision.seconds <= 60


@given(gaps, st.floats(0, 1e6))
def test_only_differences_of_times_count(gaps, shift):
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + round(gap))  # exact under the shift
    moved = [at + round(shift) for at in times]
    assert decide(times, times[-1], policy(limit=50)) == decide(moved, moved[-1], policy(limit=50))
