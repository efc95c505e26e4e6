"""Which adapters are loaded, which goes when there is no room, and who waits: without a model, adapters read when the test says so."""

from itertools import count

import pytest

from mlxd.errors import AdapterFailedError, AdapterSourceError
from tests.unit.worker_engine.adapters.stage import MORE, ONE, Stage, adapter, full


def test_rows_of_one_adapter_share_its_slot_and_others_have_others():
    stage = Stage()
    a, b = adapter("a"), adapter("b")
    for name, wanted in (("1", a), ("2", a), ("3", b), ("4", None)):
        stage.ask(name, wanted)
    assert stage.starts("1", "2", "3", "4") == ["1", "2", "3", "4"]
    slots = [stage.store.slot(name) for name in "1234"]
    assert slots[0] == slots[1]
    assert len({*slots}) == 3
    assert slots[3] == 0
    assert stage.store.nbytes == ONE + MORE
    assert {name: one.requests for name, one in stage.store.figures().items()} == {"a": 2, "b": 1}


def test_the_one_used_least_recently_goes():
    stage = Stage()
    for name in ("a", "b", "a"):
        stage.ask(name, adapter(name))
        assert stage.starts(name) == [name]
        stage.ends(name)
    stage.ask("c", adapter("c"))
    assert stage.starts("c") == ["c"]
    assert stage.loaded == {"a", "c"}


def test_none_goes_that_is_pinned_or_that_runs():
    stage = Stage(pinned="a")
    for name in "ab":
        stage.ask(name, adapter(name))
    assert stage.starts("a", "b") == ["a", "b"]
    stage.ends("a")
    stage.ask("c", adapter("c"))
    assert stage.starts("c") == []
    assert stage.loaded == {"a", "b"}
    stage.ends("b")
    assert stage.starts("c") == ["c"]
    assert stage.loaded == {"a", "c"}


def test_everybody_has_a_turn_however_many_ask_for_what_is_there():
    """Requests for ``a`` and ``b`` never end, until one for ``c`` waits: those that come behind it wait for theirs."""
    stage = Stage()
    for name in ("a1", "b1"):
        stage.ask(name, adapter(name[0]))
    assert stage.starts("a1", "b1") == ["a1", "b1"]
    stage.ask("c", adapter("c"))
    assert stage.starts("c") == []
    stage.ask("a2", adapter("a"))
    stage.ask("b2", adapter("b"))
    assert stage.starts("c", "a2", "b2") == ["b2"], "the one that was used least recently is to go"
    stage.ends("a1")
    assert stage.starts("c", "a2") == ["c"]
    stage.ends("b1", "b2")
    assert stage.starts("a2") == ["a2"]
    assert stage.loaded == {"a", "c"}


def test_who_waits_for_room_and_goes_leaves_others_as_they_were():
    stage = full()
    stage.ask("c", adapter("c"))
    assert stage.starts("c") == []
    stage.ask("a2", adapter("a"))
    assert stage.starts("a2") == []
    stage.ends("c")
    assert stage.starts("a2") == ["a2"]


@pytest.mark.parametrize(("limit", "pinned"), [(ONE - 1, ()), (ONE + MORE - 1, "a")])
def test_one_that_there_will_never_be_room_for_is_refused_at_once(limit, pinned):
    stage = Stage(limit=max(limit, ONE) if pinned else limit, pinned=pinned)
    if pinned:
        stage.ask("a", adapter("a"))
        stage.starts("a")
    with pytest.raises(AdapterFailedError, match="adapter_memory"):
        stage.ask("b", adapter("b"))
    stage.advance()
    assert stage.store.slot("b") == 0
    assert not stage.store.is_busy


def test_ranks_are_padded_and_so_is_what_they_take():
    stage = Stage(limit=2 * ONE + 2 * MORE)
    for name, rank in (("a", 4), ("b", 8)):
        stage.ask(name, adapter(name, rank))
    assert stage.starts("a", "b") == ["a", "b"]
    assert stage.store.nbytes == 2 * (ONE + MORE)
    stage.ask("c", adapter("c"))
    assert stage.starts("c") == [], "beside ranks of 8 it takes twice as much"


def test_a_smaller_limit_lets_go_of_what_nobody_has_and_then_of_the_rest():
    stage = full()
    stage.ends("a")
    stage.order(ONE)
    assert stage.loaded == {"b"}
    stage.order(0)
    assert stage.loaded == {"b"}
    stage.ask("base", None)
    with pytest.raises(AdapterFailedError):
        stage.ask("b2", adapter("b"))
    stage.ends("b")
    stage.order(0)
    assert stage.loaded == set()
    assert stage.store.nbytes == 0


def test_what_waits_when_the_limit_becomes_too_small_fails():
    stage = Stage(limit=ONE)
    stage.ask("a", adapter("a"))
    stage.starts("a")
    stage.ask("b", adapter("b"))
    stage.order(ONE // 2)
    stage.ends("a")
    stage.advance()
    assert isinstance(stage.failed["b"], AdapterFailedError)
    assert not stage.store.is_busy


def test_what_waits_when_others_are_pinned_into_its_room_fails_by_their_names_and_may_come_again():
    stage = full()
    stage.ask("c", adapter("c"))
    assert stage.starts("c") == []
    stage.order(ONE + MORE, pinned="a")
    stage.advance()
    assert "c" not in stage.failed, "it waits for the room of the one that is not"
    stage.order(ONE + MORE, pinned="ab")
    stage.advance()
    error = stage.failed["c"]
    assert "has no room for it beside what is pinned: adapter a, adapter b;" in error.message
    assert error.retry_after == 30
    stage.order(ONE + MORE)
    stage.ends("a")
    stage.ask("c2", adapter("c"))
    assert stage.starts("c2") == ["c2"]


def test_one_that_is_configured_no_more_stays_for_those_that_have_it():
    stage = Stage()
    stage.ask("a", adapter("a"))
    stage.starts("a")
    stage.order(ONE, known="b")
    assert stage.loaded == {"a"}
    stage.ends("a")
    assert stage.store.is_busy
    assert stage.loaded == set()


def test_what_cannot_be_read_fails_those_that_wait_for_it():
    stage = Stage()
    stage.held_back = True
    told = []
    stage.store.load(adapter("a"), told.append)
    stage.ask("a", adapter("a"))
    stage.ask("base", None)
    assert stage.starts("a", "base") == ["base"]
    assert stage.store.is_reading
    stage.reading.pop()(AdapterSourceError("it was changed"))
    stage.advance()
    assert stage.failed["a"].message == told[0].message == "it was changed"
    assert not stage.store.is_busy
    stage.held_back = False
    stage.ask("again", adapter("a"))
    assert stage.starts("again") == ["again"]


def test_what_a_device_says_while_one_is_written_concerns_that_one():
    stage = Stage()
    stage.ask("a", adapter("a"))
    stage.starts("a")
    stage.slots.trouble = RuntimeError("out of memory")
    stage.ask("b", adapter("b"))
    assert stage.starts("a", "b") == ["a"]
    assert "out of memory" in stage.failed["b"].message
    assert stage.loaded == {"a"}


def test_what_is_loaded_for_nobody_yet_is_told_when_it_is():
    stage = Stage()
    told = []
    stage.store.load(adapter("a"), told.append)
    stage.advance()
    assert told == [None]
    stage.store.load(adapter("a"), told.append)
    assert told == [None, None]
    stage.store.unload("a")
    assert stage.loaded == set()
    assert stage.slots.held == {}


def test_one_whose_requests_all_left_while_it_was_read_is_there_for_the_next():
    stage = Stage()
    stage.held_back = True
    stage.ask("a", adapter("a"))
    stage.advance()
    stage.ends("a")
    stage.reading.pop()([object()] * 2)
    assert stage.loaded == {"a"}


def test_one_that_is_unloaded_goes_once_nobody_has_it_whatever_is_configured_meanwhile():
    stage = Stage(pinned="a")
    stage.ask("a", adapter("a"))
    stage.starts("a")
    stage.store.unload("a")
    stage.order(ONE + MORE, pinned="a")
    assert stage.loaded == {"a"}
    stage.ends("a")
    assert stage.loaded == set()
    stage.ask("again", adapter("a"))
    assert stage.starts("again") == ["again"]
    stage.ends("again")
    assert stage.loaded == {"a"}


def test_it_is_counted_how_often_one_is_loaded_and_goes_for_others():
    stage = Stage()
    for name in ("a", "b", "a", "c", "b"):
        stage.ask(name, adapter(name))
        assert stage.starts(name) == [name]
        stage.ends(name)
    stage.store.unload("b")
    assert stage.loaded == {"c"}
    counts = {name: stage.store.counts_of(adapter(name)) for name in "abcd"}
    assert {name: (one.loads, one.evictions) for name, one in counts.items()} == {"a": (1, 1), "b": (2, 1), "c": (1, 0), "d": (0, 0)}
    stage.order(ONE - 1)
    assert stage.store.counts_of(adapter("c")).evictions == 1
    stage.order(stage.limit, known="a")
    assert (stage.store.counts_of(adapter("a")).loads, stage.store.counts_of(adapter("c")).loads) == (1, 0)


def test_who_leaves_when_an_adapter_has_failed_is_told_of_no_more():
    """The engine forgets him before the next step, and would know nothing of one that failed then."""
    stage = Stage()
    stage.held_back = True
    for name in ("gone", "there"):
        stage.ask(name, adapter("a"))
    stage.advance()
    stage.reading.pop()(AdapterSourceError("it was changed"))
    stage.store.forget("gone")
    stage.advance()
    assert set(stage.failed) == {"there"}


@pytest.fixture
def one_layer_a_step(monkeypatch):
    monkeypatch.setattr("mlxd.worker.engine.adapters.store.monotonic", (at * 0.01 for at in count()).__next__)


@pytest.mark.usefixtures("one_layer_a_step")
def test_memory_is_given_back_a_few_layers_a_step_and_nobody_has_it_before():
    stage = Stage(limit=ONE)
    stage.ask("a", adapter("a"))
    assert stage.starts("a") == ["a"]
    stage.ends("a")
    stage.ask("b", adapter("b"))
    steps = 0
    while stage.slots.held:
        assert not stage.store.has("b")
        stage.store.advance((), 0.005)
        steps += 1
    assert steps > 2, "one layer, then another, then the rest"
    assert stage.starts("b") == ["b"]


def test_what_the_first_layer_waits_for_is_no_part_of_the_time_there_is(monkeypatch):
    """A device has the step before it yet; the other layers are behind that."""
    clock = [0.0]
    monkeypatch.setattr("mlxd.worker.engine.adapters.store.monotonic", lambda: clock[0])
    stage = Stage()
    stage.slots.before_writing = lambda layer: clock.append(clock.pop() + (0.001 if layer else 1.0))
    stage.ask("a", adapter("a"))
    stage.store.advance((), 0.005)
    assert stage.store.has("a")


def test_what_a_device_could_not_give_back_is_tried_again_before_anybody_has_the_slot():
    stage = Stage(limit=ONE)
    stage.ask("a", adapter("a"))
    stage.starts("a")
    slot = stage.store.slot("a")
    stage.ends("a")
    stage.ask("b", adapter("b"))
    stage.slots.dropping = RuntimeError("out of memory")
    for _ in range(3):
        assert stage.store.advance((), 0.005) == {}
    assert not stage.store.has("b")
    assert stage.store.slot("b") != slot
    stage.slots.dropping = None
    assert stage.starts("b") == ["b"]
    assert set(stage.slots.held) == {stage.store.slot("b")}
