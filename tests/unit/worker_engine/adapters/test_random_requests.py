"""Whatever requests come and go, in whatever order: each begins at last, with a slot that is its adapter's alone."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.errors import AdapterFailedError
from tests.support.examples import examples
from tests.unit.worker_engine.adapters.stage import MORE, ONE, Stage, adapter

NAMES = "abcde"
ACTS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(NAMES)),
    st.tuples(st.just("end"), st.integers(0, 20)),
    st.tuples(st.just("leave"), st.integers(0, 20)),
    st.tuples(st.just("unload"), st.sampled_from(NAMES)),
    st.tuples(st.just("limit"), st.integers(1, 4)),
    st.tuples(st.just("step"), st.just(0)),
)


class Play(Stage):
    def __init__(self):
        super().__init__(limit=ONE + MORE)
        self.waiting = {}
        self.asked = 0

    def step(self):
        for name in self.store.advance(self.running, 1.0):
            self.waiting.pop(name, None)
            self.store.forget(name)
        for name in [name for name in self.waiting if self.store.has(name)]:
            self.running.add(name)
            del self.waiting[name]
        self.check()

    def check(self):
        slots = {name: self.store.slot(name) for name in self.running}
        for name, slot in slots.items():
            assert slot in self.slots.held, "one runs whose adapter is not loaded"
            assert {name[0]} == {other[0] for other, theirs in slots.items() if theirs == slot}, "a slot is two adapters'"

    def act(self, what, which):
        if what == "ask":
            self.asked += 1
            name = f"{which}{self.asked}"
            try:
                self.ask(name, adapter(which, rank=2 + 2 * NAMES.index(which)))
                self.waiting[name] = None
            except AdapterFailedError:
                pass
        elif what in {"end", "leave"}:
            among = sorted(self.running if what == "end" else self.waiting)
            if among:
                name = among[which % len(among)]
                self.waiting.pop(name, None)
                self.ends(name)
        elif what == "unload":
            self.store.unload(which)
        elif what == "limit":
            self.order(ONE + which * MORE)
        else:
            self.step()


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(ACTS, max_size=40))
def test_all_begin_at_last(acts):
    play = Play()
    for what, which in acts:
        play.act(what, which)
    for _ in range(200):
        play.step()
        if not play.waiting:
            break
        play.ends(*sorted(play.running)[:1])
    assert play.waiting == {}
    play.ends(*sorted(play.running))
    play.step()
    play.order(0)
    play.step()
    assert play.store.nbytes == 0
    for _ in range(3):
        play.step()
    assert not play.store.is_busy
