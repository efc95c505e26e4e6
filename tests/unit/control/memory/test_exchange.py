"""Who gives way to whom, decided: by table, and by simulated days of models that want each other's places."""

import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.control.memory.exchange import Claim, Place, Tenure, decide
from tests.support.examples import examples

NOW = 1000.0


def place(model, size=60, *, age=0.0, spare=0, **tenure):
    since = tenure.pop("since", NOW - age)
    return Place(model=model, size=size, spare=spare, tenure=Tenure(since=since, **{"residence": 15.0, "turn": 60.0} | tenure))


def claim(model="new", size=60, waited=1.0, **known):
    return Claim(model=model, size=size, since=NOW - waited, **known)


def decided(*places, claims=(), free=40, leaving=0, now=NOW):
    return decide(free=free, leaving=leaving, places=places, claims=claims or [claim()], now=now)


# ---- one claim ----


def test_what_fits_is_served():
    found = decided(place("old"), free=60)
    assert (found.served, found.unloaded, found.outlooks) == (("new",), (), {})


def test_who_is_idle_goes_once_it_has_been_there_for_its_residence():
    assert decided(place("old", age=15.0)).unloaded == ("old",)
    found = decided(place("old", age=14.0))
    assert (found.unloaded, found.closed, found.next_look) == ((), frozenset(), NOW + 1)
    assert (found.outlooks["new"].soonest, found.outlooks["new"].likely) == (1.0, 1.0)


def test_without_a_residence_it_goes_at_once():
    assert decided(place("old", age=0.0, residence=0.0)).unloaded == ("old",)


def test_who_is_in_use_is_closed_when_its_turn_is_over_and_not_unloaded_before_it_is_idle():
    found = decided(place("old", age=59.0, is_busy=True, rest=7.0))
    assert (found.closed, found.unloaded, found.next_look) == (frozenset(), (), NOW + 1)
    assert (found.outlooks["new"].soonest, found.outlooks["new"].likely) == (0.0, 8.0)
    found = decided(place("old", age=60.0, is_busy=True, rest=7.0))
    assert (found.closed, found.unloaded) == ({"old"}, ())
    assert found.outlooks["new"].likely == 7.0


def test_a_turn_is_never_shorter_than_a_residence():
    assert decided(place("old", age=14.0, is_busy=True, turn=1.0)).closed == frozenset()


def test_a_turn_may_never_end():
    found = decided(place("old", age=10_000.0, is_busy=True, turn=None, rest=7.0))
    assert (found.closed, found.hopeless, found.next_look) == (frozenset(), (), math.inf)
    assert found.outlooks["new"].likely == 7.0


def test_who_loads_is_waited_for():
    found = decided(place("old", since=None, rest=20.0))
    assert (found.unloaded, found.hopeless) == ((), ())
    assert found.outlooks["new"].likely == 35.0


@pytest.mark.parametrize("size", [61, 101])
def test_where_nobody_s_going_helps_that_is_said_at_once(size):
    assert decided(place("pinned", stays=True), place("small", 20, age=99.0), claims=[claim(size=size)]).hopeless == ("new",)


def test_memory_that_leaves_is_waited_for_and_nobody_goes_for_it():
    found = decided(place("old", age=99.0), free=0, leaving=60)
    assert (found.served, found.making_room, found.unloaded) == ((), ("new",), ())


def test_caches_shrink_before_anybody_goes():
    found = decided(place("old", age=99.0, spare=20))
    assert (found.making_room, found.unloaded) == (("new",), ())


def test_the_least_recently_used_goes_and_nobody_without_need():
    idle = [place(name, 30, age=99.0, last_used=used) for name, used in (("b", 2.0), ("a", 1.0), ("c", 3.0))]
    assert decided(*idle, free=10, claims=[claim(size=40)]).unloaded == ("a",)
    assert decided(*idle, free=10, claims=[claim(size=70)]).unloaded == ("a", "b")
    assert decided(place("tiny", 5, age=99.0, last_used=0.0), *idle, free=10, claims=[claim(size=40)]).unloaded == ("a",)


def test_who_is_idle_goes_before_who_is_in_use_and_of_these_the_one_that_came_first():
    places = [place("busy", age=99.0, is_busy=True), place("idle", age=50.0, last_used=NOW)]
    assert decided(*places, free=0).unloaded == ("idle",)
    places = [place("late", age=70.0, is_busy=True, last_used=1.0), place("early", age=80.0, is_busy=True, last_used=2.0)]
    assert decided(*places, free=0).closed == {"early"}


def test_several_that_have_to_go_go_together():
    """One alone would be of no use: it serves on until the other is ready to go, too."""
    found = decided(place("idle", age=99.0), place("new_one", age=1.0), free=0, claims=[claim(size=120)])
    assert (found.closed, found.unloaded, found.next_look) == (frozenset(), (), NOW + 14)
    found = decided(place("idle", age=99.0), place("busy", age=99.0, is_busy=True), free=0, claims=[claim(size=120)])
    assert (found.closed, found.unloaded) == ({"idle", "busy"}, ())


# ---- several claims ----


def test_the_one_that_waits_longest_is_next_whatever_order_they_are_told_in():
    claims = [claim("late", waited=1.0), claim("early", waited=2.0)]
    assert decided(claims=claims, free=60).served == ("early",)
    found = decided(place("old", age=99.0), claims=claims)
    assert found.unloaded == ("old",)
    assert found.outlooks["late"].likely >= found.outlooks["early"].likely


def test_who_stands_in_line_is_told_of_the_load_and_the_residence_before_it():
    claims = [claim("late", waited=1.0), claim("early", waited=2.0, load=20.0, residence=15.0)]
    assert decided(place("old", age=10.0), claims=claims).outlooks["late"].likely == 5.0 + 20.0 + 15.0


def test_a_small_one_need_not_wait_for_a_large_one_but_takes_nothing_from_it():
    large = claim("large", size=70, waited=9.0)
    assert decided(place("old"), claims=[large, claim("small", size=30)]).served == ("small",)
    assert decided(place("old"), claims=[large, claim("small", size=31)]).served == ()


def test_two_claims_have_two_others_give_way():
    places = [place("a", age=99.0, last_used=1.0), place("b", age=99.0, last_used=2.0)]
    assert decided(*places, free=0, claims=[claim("one"), claim("two")]).unloaded == ("a", "b")


def test_a_hopeless_claim_holds_nobody_up():
    found = decided(place("old", age=99.0), claims=[claim("giant", size=1000, waited=9.0), claim()])
    assert (found.hopeless, found.unloaded) == (("giant",), ("old",))


def test_one_that_does_not_push_takes_what_leaves_before_all_others_and_nobody_goes_for_it():
    """A new worker of a model, in the place of the old one."""
    own, other = claim("own", size=70, waited=math.inf, pushes=False), claim("other", size=60, waited=9.0)
    found = decided(place("third", 20, age=99.0), free=20, leaving=60, claims=[other, own])
    assert (found.making_room, found.unloaded, found.hopeless) == (("own",), (), ())
    assert "other" in found.outlooks
    assert decided(place("third", 20, age=99.0), free=80, claims=[other, own]).served == ("own",)
    assert decided(place("old", age=99.0), claims=[claim("own", pushes=False)]).hopeless == ("own",)


def test_nobody_gives_way_to_itself():
    assert decided(place("new", age=99.0), claims=[claim()]).hopeless == ("new",)


# ---- days ----


@dataclass
class Model:
    """A model of a simulation. ``until`` is when what it is at is over: a load, or the request that runs."""

    name: str
    size: int
    residence: float
    turn: float | None
    ready: float | None = None
    loading: float | None = None
    wanted: float | None = None
    busy_until: float = -1.0
    waits: list[float] = field(default_factory=list)

    def place(self, now):
        if self.ready is None and self.loading is None:
            return None
        tenure = Tenure(
            since=self.ready, residence=self.residence, turn=self.turn, is_busy=self.busy_until > now, last_used=self.busy_until
        )
        return Place(model=self.name, size=self.size, tenure=tenure)


LOAD, REQUEST = 3.0, 4.0  # seconds that a load takes, and a request at most


class Day:
    """Models that are asked for at random moments, second by second; requests are as long as may be where there are always some."""

    def __init__(self, models, limit, asked):
        self.models, self.limit, self.asked = models, limit, asked
        self.closed = frozenset()
        self.exchanges = 0

    @property
    def free(self):
        return self.limit - sum(one.size for one in self.models if one.ready is not None or one.loading is not None)

    def second(self, now):
        for one in self.models:
            if one.loading is not None and now >= one.loading:
                one.loading, one.ready = None, now
                one.busy_until = now + REQUEST  # whoever waited is served
            if one.name in self.asked(now):
                self.ask(one, now)
        self.decide(now)
        for one in self.models:
            if one.wanted is not None and one.ready is not None and one.name not in self.closed:
                self.let_in(one, now)

    def ask(self, one, now):
        if one.ready is not None and one.name not in self.closed:
            one.busy_until = max(one.busy_until, now + REQUEST)
        elif one.loading is None and one.wanted is None:
            one.wanted = now

    def let_in(self, one, now):
        """Serves those who waited for a model that was closed, and has not gone after all."""
        one.waits.append(now - one.wanted)
        one.wanted, one.busy_until = None, now + REQUEST

    def decide(self, now):
        while True:
            places = [known for one in self.models if (known := one.place(now)) is not None]
            claims = [
                Claim(model=one.name, size=one.size, since=one.wanted)
                for one in self.models
                if one.wanted is not None and one.ready is None
            ]
            found = decide(free=self.free, leaving=0, places=places, claims=claims, now=now)
            self.closed = found.closed
            by_name = {one.name: one for one in self.models}
            assert not found.hopeless
            assert self.closed >= set(found.unloaded)
            for name in found.unloaded:
                gone = by_name[name]
                assert gone.busy_until <= now, "one that is in use was unloaded"
                assert now >= gone.ready + gone.residence, "one was unloaded before its residence was over"
                gone.ready = None
                self.exchanges += 1
            for name in found.served:
                served = by_name[name]
                assert served.size <= self.free, "more was given out than there is"
                served.waits.append(now - served.wanted)
                served.wanted, served.loading = None, now + LOAD
            if not (found.unloaded or found.served):
                return


sizes = st.integers(20, 100)
spans = st.sampled_from([0.0, 1.0, 5.0, 12.0])
crowds = st.lists(st.tuples(sizes, spans, spans), min_size=2, max_size=5)


def day(crowd, asked, seconds=400):
    models = [Model(f"m{number}", size, residence, turn) for number, (size, residence, turn) in enumerate(crowd)]
    world = Day(models, 100, asked)
    for now in range(seconds):
        world.second(float(now))
    return world


def longest(world):
    """The most that a model may wait: each of the others has its place once, for its turn, its last request and its load."""
    return len(world.models) * (max(max(one.residence, one.turn) for one in world.models) + REQUEST + LOAD + 2)


@settings(max_examples=examples(24), deadline=None)
@given(crowds)
def test_where_all_are_asked_for_all_the_time_each_has_its_turn(crowd):
    world = day(crowd, lambda _: {f"m{number}" for number in range(len(crowd))})
    bound = longest(world)
    for one in world.models:
        assert max(one.waits) <= bound
        assert one.wanted is None or 400 - one.wanted <= bound


@settings(max_examples=examples(24), deadline=None)
@given(crowds, st.lists(st.sets(st.integers(0, 4)), min_size=30, max_size=30))
def test_however_they_are_asked_for_nobody_waits_for_ever_and_nobody_goes_before_its_time(crowd, pattern):
    """For half of the time: afterwards everybody who waited has been served."""
    names = [{f"m{number}" for number in chosen if number < len(crowd)} for chosen in pattern]
    world = day(crowd, lambda now: names[int(now) % len(names)] if now < 200 else set())
    assert [one.name for one in world.models if one.wanted is not None] == []
    for one in world.models:
        assert max(one.waits, default=0.0) <= longest(world)


@pytest.mark.parametrize("residence", [1.0, 5.0, 12.0])
def test_two_that_are_asked_for_in_turn_change_places_at_most_once_within_a_residence(residence):
    world = day([(60, residence, 2 * residence)] * 2, lambda now: {f"m{int(now) % 2}"})
    assert 2 <= world.exchanges <= 400 / (residence + LOAD) + 1


def test_a_model_that_is_always_in_use_keeps_its_place_where_its_turn_never_ends():
    models = [Model("m0", 60, 0.0, None), Model("m1", 60, 0.0, None)]
    world = Day(models, 100, lambda now: {"m0"} if now < 5 else {"m0", "m1"})
    for now in range(100):
        world.second(float(now))
    assert (world.exchanges, models[1].waits) == (0, [])
    assert replace(models[1], wanted=None).place(100.0) is None
