"""Which snapshots of recurrent state give way: those taken in passing, then those of answers, then those of prompts."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.kv.state_snapshots import StateSnapshots, Taken


def kept(snapshots, blocks=range(100)):
    return [block for block in blocks if snapshots.of(block) is not None]


def take(snapshots, block, taken=Taken.PROMPT):
    snapshots.attach(snapshots.make(), block, taken)
    snapshots.check_integrity()


def test_no_answer_however_long_drops_the_snapshot_of_a_prompt():
    snapshots = StateSnapshots(4)
    for block in range(3):
        take(snapshots, block)
    for block in range(10, 60):
        take(snapshots, block, Taken.ANSWER)
    assert kept(snapshots) == [0, 1, 2, 59]
    take(snapshots, 3)
    take(snapshots, 60, Taken.ANSWER)
    assert kept(snapshots) == [0, 1, 2, 3]


def test_a_long_prompt_s_passing_ones_drop_no_other_but_its_newest_stays():
    snapshots = StateSnapshots(16)
    for block in range(12):
        take(snapshots, block)
    take(snapshots, 20, Taken.ANSWER)
    for block in range(30, 90):
        take(snapshots, block, Taken.PASSING)
    assert kept(snapshots) == [*range(12), 20, 87, 88, 89]
    for block in range(12, 20):
        take(snapshots, block)
    assert kept(snapshots) == [*range(7, 20), 20, 88, 89]


def test_the_newest_answer_s_stays_among_many_prompts_where_there_is_place_for_several():
    snapshots = StateSnapshots(16)
    for block in range(20):
        take(snapshots, block)
    for block in range(30, 35):
        take(snapshots, block, Taken.ANSWER)
    assert kept(snapshots) == [*range(6, 20), 33, 34]


def test_of_a_kind_the_least_recently_used_goes_first():
    snapshots = StateSnapshots(3)
    for block in range(3):
        take(snapshots, block)
    snapshots.use(0)
    take(snapshots, 3)
    assert kept(snapshots) == [0, 2, 3]


def test_an_answer_that_a_conversation_went_on_from_counts_as_a_prompt():
    snapshots = StateSnapshots(2)
    take(snapshots, 0, Taken.ANSWER)
    snapshots.use(0)
    take(snapshots, 1)
    take(snapshots, 2, Taken.ANSWER)
    assert kept(snapshots) == [0, 1]


def test_a_moved_block_keeps_its_kind():
    snapshots = StateSnapshots(2)
    take(snapshots, 0, Taken.ANSWER)
    take(snapshots, 1)
    snapshots.move(0, 7)
    take(snapshots, 2)
    assert kept(snapshots) == [1, 2]


@given(
    st.integers(0, 6),
    st.lists(st.tuples(st.sampled_from(["prompt", "answer", "passing", "use", "drop", "move", "resize"]), st.integers(0, 9))),
)
def test_every_snapshot_has_one_place_and_every_one_that_went_is_told(capacity, deeds):
    snapshots, made, gone = StateSnapshots(capacity), set(), set()
    for deed, block in deeds:
        if deed in {"prompt", "answer", "passing"}:
            made.add(snapshots._next + 1)
            take(snapshots, block, Taken[deed.upper()])
        elif deed == "use" and snapshots.of(block) is not None:
            snapshots.use(block)
        elif deed == "drop":
            snapshots.drop(block)
        elif deed == "move" and snapshots.of(block + 10) is None:
            snapshots.move(block, block + 10)
        elif deed == "resize":
            snapshots.resize(block)
        snapshots.check_integrity()
        gone |= set(snapshots.take_dropped())
    assert made == gone | {snapshots.of(block) for block in kept(snapshots)}
