"""What is guessed by what was read and said of late: by whom it may be known, how sure it is, and that it takes a fixed room."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.types import Limits, SpeculationKind
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.engine.speculation.lookup_drafter import LookupDrafter
from mlxd.worker.engine.speculation.recycling_drafter import RecyclingDrafter
from mlxd.worker.engine.speculation.speculation import Speculation
from mlxd.worker.engine.speculation.successors import SUREST, Successor, Successors
from tests.unit.worker_engine.speculation.streams import Streams, cpu, noise_of, stream

PHRASE = [11, 12, 13, 14, 15, 16]


def salted(sequence, salt):
    prompt = sequence.request.prompt
    sequence.request.prompt = msgspec.structs.replace(prompt, root=CacheRoot(model="model", salt=salt))
    return sequence


def offered(drafter, sequence):
    offer = drafter.offers([sequence], 9).get(sequence.id)
    return () if offer is None else offer.tokens


@given(text=st.lists(st.integers(0, 5), max_size=80), cut=st.integers(0, 80))
def test_what_came_last_is_known_however_the_text_was_entered(text, cut):
    """Of texts so small that no run takes another's place; where a successor is sure, it takes as often to change it."""
    whole, parts = Successors(), Successors()
    whole.enter(text, 0)
    parts.enter(text[:cut], 0)
    parts.enter(text, min(cut, len(text)))
    for at in range(len(text) + 1):
        found = whole.behind(text[:at])
        assert found == parts.behind(text[:at])
        if found is not None:
            run = text[at - found.size : at]
            ends = [end for end in range(found.size, len(text)) if text[end - found.size : end] == run]
            assert found.token in {text[end] for end in ends}
            assert found.sure < len(ends)


def test_the_more_often_it_came_the_surer_it_is_and_the_longer_it_stays():
    known = Successors()
    known.enter([1, 2, 0] * 9, 0)
    assert known.behind([9, 2]) == Successor(0, 1, SUREST)
    for token in (3, 3, 3):
        known.enter([2, token], 1)
        assert known.behind([9, 2]).token == 0
    known.enter([2, 3], 1)
    assert known.behind([9, 2]) == Successor(3, 1, 0)


def test_what_one_request_said_is_guessed_for_the_next_and_not_for_one_of_another_salt():
    drafter = RecyclingDrafter()
    offered(drafter, stream("a", [1, 2], PHRASE))
    first = stream("a", [1, 2], PHRASE)
    first.tokens += PHRASE[1:]
    offered(drafter, first)
    drafter.close("a")
    assert offered(drafter, stream("b", [3], [11])) == tuple(PHRASE[1:])
    assert offered(drafter, salted(stream("c", [3], [11]), "own")) == ()
    other = salted(stream("d", [3], [21]), "own")
    other.tokens += [22, 23]
    offered(drafter, other)
    assert offered(drafter, stream("e", [3], [21])) == ()
    assert offered(drafter, salted(stream("f", [3], [21]), "own")) == (22, 23)


def test_so_many_salts_take_no_more_room_than_a_few():
    drafter = RecyclingDrafter()
    for salt in range(50):
        offered(drafter, salted(stream(str(salt), [3], [11, 12]), str(salt)))
        drafter.close(str(salt))
    assert len(drafter._successors) == 8
    assert not drafter._readers


def test_of_a_long_prompt_the_end_is_entered():
    drafter = RecyclingDrafter()
    offered(drafter, stream("a", range(100_000), [3]))
    assert offered(drafter, stream("b", [0], [50_000])) == ()
    assert offered(drafter, stream("c", [0], [99_990])) == tuple(range(99_991, 99_997))


def written(seed, count):
    """Text of a source that mostly says one thing behind another, as languages do, and repeats no long passage."""
    chance, text = random.Random(seed), [0]  # noqa: S311 - no secret
    for _ in range(count):
        text.append((text[-1] * 7 + chance.choice([1, 1, 1, 2, 3])) % 500)
    return text


def drafters():
    return Speculation(Limits(speculation=SpeculationKind.AUTO), [LookupDrafter(), RecyclingDrafter()])


def test_a_language_is_learned_over_answers_that_repeat_nothing():
    speculation = drafters()
    gains = [Streams({f"{number}": written(number, 120)}, speculation=speculation).run().gain for number in range(30)]
    assert min(gains) > 0.97
    assert sum(gains[20:]) / 10 > 1.4
    assert Streams({"a": written(99, 120)}).run().gain < 1.2


@pytest.mark.parametrize(
    ("kinds", "users", "device"), [(3, 1, cpu), (3, 16, cpu), (40, 1, cpu), (40, 1, lambda rows: 0.01 * rows), (5000, 16, cpu)]
)
def test_noise_loses_nothing(kinds, users, device):
    speculation, alone, took = drafters(), 0.0, 0.0
    for turn in range(4):
        answers = {f"{turn}-{user}": noise_of(1000 * turn + user, 150, kinds) for user in range(users)}
        run = Streams(answers, seconds=device, speculation=speculation).run()
        alone, took = alone + run.alone, took + run.took
    assert alone / took > (0.97 if users > 1 or device is cpu else 0.95)
