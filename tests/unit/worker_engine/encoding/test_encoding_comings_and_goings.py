"""Requests that come, and are given up, while others run: nobody loses a text, and nobody waits for ever."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.engine.events import Ended
from tests.unit.worker_engine.encoding.simulated_encoder import Rig, SimulatedEncoder

COMES = st.tuples(st.just("comes"), st.lists(st.integers(1, 120), min_size=1, max_size=40), st.integers(-2, 2))
GOES = st.tuples(st.just("goes"), st.integers(0, 30), st.none())
STEPS = st.tuples(st.just("steps"), st.integers(1, 4), st.none())


@given(st.lists(COMES | GOES | STEPS, max_size=40), st.sampled_from([0.01, 0.2, 5.0]))
def test_every_text_of_whoever_stays_is_told_once_and_of_whoever_goes_nothing_more(events, target):
    rig, asked, gone = Rig(SimulatedEncoder(), target_itl=target), {}, {}
    for what, amount, priority in events:
        if what == "comes":
            name = f"r{len(asked)}"
            asked[name] = [[1000 + at, *([1] * (length - 1))] for at, length in enumerate(amount)]
            rig.add(name, asked[name], priority=priority)
        elif what == "goes" and f"r{amount}" in asked and f"r{amount}" not in gone:
            rig.queue.withdraw(f"r{amount}")
            gone[f"r{amount}"] = len(rig.events[f"r{amount}"])
        elif what == "steps":
            for _ in range(amount):
                rig.engine.step()
    rig.run()
    for name, texts in asked.items():
        if name in gone:
            assert len(rig.events[name]) == gone[name]
        else:
            assert rig.vectors(name) == {place: float(sum(tokens)) for place, tokens in enumerate(texts)}
            assert isinstance(rig.answer(name), Ended)
    computed = [text.key for batch in rig.encoder.batches for text in batch]
    assert len(computed) == len(set(computed))
    assert (rig.queue.running, rig.queue.waiting, len(rig.engine._clocks)) == (0, 0, 0)


@given(st.lists(st.integers(1, 60), min_size=2, max_size=12), st.integers(0, 1000))
def test_half_of_all_steps_are_for_the_first_by_rank(sizes, token):
    """Whoever comes. So it ends within about twice the steps that its texts take alone: what is learned of others' lengths makes its
    batches smaller or larger by a few texts.
    """
    texts = [[1] * (20 + token % 5)] * 300
    alone = Rig()
    alone.add("first", texts)
    alone.run()
    rig = Rig()
    rig.add("first", texts)
    for at in range(10_000):
        rig.add(f"s{at}", [[1] * sizes[at % len(sizes)]])
        rig.engine.step()
        if rig.events["first"] and isinstance(rig.events["first"][-1], Ended):
            break
    its_own = sum(any(text.request_id == "first" for text in batch) for batch in rig.encoder.batches)
    assert 2 * its_own >= len(rig.encoder.batches) - 1
    assert at + 1 <= 2.25 * len(alone.encoder.batches) + 2
