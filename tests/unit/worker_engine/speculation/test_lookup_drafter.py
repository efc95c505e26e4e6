"""What is guessed by look-up, and that it takes the same time whatever the length."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.engine.speculation.indexed_text import IndexedText
from mlxd.worker.engine.speculation.lookup_drafter import LookupDrafter
from mlxd.worker.engine.speculation.ngrams import LONGEST, Ngrams
from tests.unit.worker_engine.speculation.streams import stream

tokens = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def newest(text, run, end):
    """The place behind the newest occurrence of ``run`` before ``end``, by looking through all of it."""
    places = [at for at in range(len(run), end) if tuple(text[at - len(run) : at]) == run]
    return max(places, default=None)


@given(text=tokens, cuts=st.lists(st.integers(0, 60), max_size=4))
def test_each_run_is_found_where_it_occurred_last_however_the_text_grew(text, cuts):
    ngrams = Ngrams()
    for cut in sorted(min(cut, len(text)) for cut in [*cuts, 60]):
        ngrams.enter(text, cut)
    for size in range(1, LONGEST + 1):
        for at in range(size, len(text) + 1):
            run = tuple(text[at - size : at])
            assert ngrams.find(run) == newest(text, run, len(text))


@given(text=st.one_of(tokens, st.lists(st.integers(0, 3).map((2**21 - 2).__add__), max_size=60)))
def test_of_a_text_that_does_not_grow_the_same_is_found(text):
    indexed, ngrams = IndexedText.of(text), Ngrams()
    ngrams.enter(text, len(text))
    for size in range(1, LONGEST + 1):
        for at in range(size, len(text) + 1):
            run = tuple(text[at - size : at])
            assert indexed.find(run) == ngrams.find(run) or max(run) >= 2**21  # no vocabulary is so large; nothing breaks there
        assert indexed.find((4,) * size) is None


@given(prompt=tokens, answer=tokens, indexed=st.booleans())
def test_a_guess_is_what_followed_an_occurrence_of_the_newest_tokens(prompt, answer, indexed):
    drafter, sequence = LookupDrafter(), stream("a", prompt, answer, index=indexed)
    for token in [*answer[1:], None]:
        offer = drafter.offers([sequence], 5).get("a")
        assert (offer is None) == (newest(sequence.tokens, (sequence.tokens[-1],), len(sequence.tokens)) is None)
        if offer is not None:
            assert 1 <= len(offer.kinds) == len(offer.tokens) <= 5
            assert any(
                sequence.tokens[at : at + len(offer.tokens)] == list(offer.tokens) and sequence.tokens[at - 1] == sequence.tokens[-1]
                for at in range(1, len(sequence.tokens))
            )
        if token is not None:
            sequence.tokens.append(token)


def test_where_two_places_agree_the_one_that_agrees_longer_goes_on():
    drafter = LookupDrafter()
    sequence = stream("a", [1, 2, 3, 4, 5, 9, 2, 3, 4, 6], [1, 2, 3, 4])
    for token in [2, 3, 4]:
        drafter.offers([sequence], 4)
        sequence.tokens.append(token)
    assert drafter.offers([sequence], 1)["a"].tokens == (5,)


def test_a_prediction_goes_on_from_its_beginning_and_behind_what_was_otherwise():
    drafter, predicted = LookupDrafter(), [7, 8, 7, 9, 5, 6, 4, 3]
    sequence = stream("a", [1, 2], [7], predicted=predicted)
    assert drafter.offers([sequence], 3)["a"].tokens == (8, 7, 9)
    sequence.tokens += [8, 7, 0, 5]  # not 9
    assert drafter.offers([sequence], 9)["a"].tokens == (6, 4, 3)


def test_a_long_prompt_is_looked_through_once_and_not_on_the_engine_s_time():
    """Where nobody has indexed it, only its end is looked up."""
    drafter, prompt = LookupDrafter(), [at % 50_000 for at in range(100_000)]
    sequence = stream("a", prompt, [3], index=False)
    drafter.offers([sequence], 4)
    assert len(drafter._known["a"].ngrams._ends) < 3 * 2100
    indexed = stream("b", prompt, [3])
    assert drafter.offers([indexed], 4)["b"].tokens == (4, 5, 6, 7)
    assert len(drafter._known["b"].ngrams._ends) <= LONGEST
