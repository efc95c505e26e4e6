"""The sliding minute against a list of everything that was used."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.control.quotas.minute import WINDOW, Minute

STRETCH = 0.25  # as much longer may an amount count
# Waits are whole eighths of a second, so that nothing is rounded.
uses = st.lists(st.tuples(st.sampled_from([0.0, 0.125, 0.25, 0.375, 1.0, 7.5, 30.0, 59.875, 60.0, 61.0]), st.integers(0, 50)), max_size=60)


def counted(history, now, window):
    return sum(amount for at, amount in history if now - at < window)


@given(uses)
def test_no_minute_ever_has_more_than_is_counted(steps):
    minute, history, now = Minute(), [], 1000.0
    for wait, amount in steps:
        now += wait
        minute.add(amount, now)
        history.append((now, amount))
        assert counted(history, now, WINDOW) <= minute.used(now) <= counted(history, now, WINDOW + STRETCH)


@given(uses, st.integers(1, 100), st.floats(0, 90))
def test_it_says_when_less_than_a_limit_counts(steps, limit, idle):
    minute, now = Minute(), 1000.0
    for wait, amount in steps:
        now += wait
        minute.add(amount, now)
    now += idle
    wait = minute.until_below(limit, now)
    assert 0 <= wait <= WINDOW
    assert (wait == 0) == (minute.used(now) < limit)
    if wait > 0.01:
        assert minute.used(now + wait - 0.01) >= limit
    assert minute.used(now + wait + 0.001) < limit


def test_it_is_empty_a_minute_after_the_last_use():
    minute = Minute()
    assert minute.until_empty(0.0) == 0
    minute.add(5, 10.0)
    minute.add(5, 20.0)
    assert minute.until_empty(30.0) == 50
    assert minute.used(79.9) == 5
    assert (minute.used(80.0), minute.until_empty(80.0)) == (0, 0)


def test_a_day_of_tokens_one_by_one_takes_no_more_room_than_a_minute():
    minute, now = Minute(), 0.0
    for _ in range(100_000):
        now += 0.01
        minute.add(1, now)
    assert len(minute._entries) <= WINDOW / STRETCH + 1
    assert 5_999 <= minute.used(now) <= 6_030
