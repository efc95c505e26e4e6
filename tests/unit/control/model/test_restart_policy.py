from hypothesis import given
from hypothesis import strategies as st

from mlxd.config.model_tables import WorkerTable
from mlxd.control.model.restart_policy import has_failed, wait_before_restart


def policy(*, backoff="1s", most="60s", limit=5, window="600s"):
    return WorkerTable.model_validate(
        {"restart_backoff": backoff, "restart_backoff_max": most, "crash_limit": limit, "crash_window": window}
    )


def waits(table, times):
    return [wait_before_restart(times[: n + 1], at, table) for n, at in enumerate(times)]


def test_the_wait_doubles_up_to_its_maximum():
    assert waits(policy(limit=100, most="10s"), [0, 1, 2, 3, 4, 5]) == [1, 2, 4, 8, 10, 10]


def test_from_the_limit_within_the_window_on_it_waits_the_longest_and_counts_as_failed():
    table = policy(limit=3)
    assert waits(table, [0, 10, 20, 80]) == [1, 2, 60, 60]
    assert [has_failed([0, 10, 20][:n], 20, table) for n in (1, 2, 3)] == [False, False, True]


def test_crashes_spread_wide_are_forgiven():
    assert waits(policy(limit=2), [0, 601, 1202]) == [1, 1, 1]
    assert not has_failed([0, 601, 1202], 1202, policy(limit=2))


def test_a_maximum_below_the_first_wait_holds():
    assert wait_before_restart([0.0], 0.0, policy(backoff="10s", most="2s")) == 2


def test_a_long_series_does_not_overflow():
    assert wait_before_restart([float(n) / 100 for n in range(999)], 10.0, policy(limit=1000)) == 60


gaps = st.lists(st.floats(0, 2000), max_size=30)


@given(gaps, st.integers(1, 10))
def test_there_is_always_another_try_and_its_wait_is_within_bounds(gaps, limit):
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + gap)
    recent = sum(times[-1] - at < 600 for at in times)
    wait = wait_before_restart(times, times[-1], policy(limit=limit))
    assert wait == 60 if recent >= limit else 1 <= wait <= 60


@given(gaps, st.floats(0, 1e6))
def test_only_differences_of_times_count(gaps, shift):
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + round(gap))  # exact under the shift
    moved = [at + round(shift) for at in times]
    assert waits(policy(limit=50), times) == waits(policy(limit=50), moved)
