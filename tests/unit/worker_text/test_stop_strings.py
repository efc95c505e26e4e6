from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.text.stop_strings import StopStrings


def naive(text, stops):
    """Character by character: the first stop string to be complete ends the text where it began."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)], True
    return text, False


def feed(stops, pieces):
    matcher = StopStrings(stops)
    shown = []
    for piece in pieces:
        shown.append(matcher.push(piece))
        if matcher.matched is not None:
            return shown, True
    return [*shown, matcher.flush()], False


letters = st.text(alphabet="abé", max_size=12)


@given(pieces=st.lists(letters, max_size=8), stops=st.lists(st.text(alphabet="abé", min_size=1, max_size=4), max_size=4))
def test_same_as_the_naive_oracle_however_the_text_is_cut(pieces, stops):
    shown, stopped = feed(stops, pieces)
    assert ("".join(shown), stopped) == naive("".join(pieces), stops)


@given(pieces=st.lists(letters, max_size=8), stop=st.text(alphabet="abé", min_size=1, max_size=4))
def test_nothing_shown_ever_has_to_be_taken_back(pieces, stop):
    final, _ = naive("".join(pieces), [stop])
    shown, _ = feed([stop], pieces)
    for count in range(len(shown)):
        assert final.startswith("".join(shown[:count]))


def test_a_stop_string_across_three_tokens_is_never_shown():
    assert feed(["<end>"], ["hello <", "en", "d> more"]) == (["hello ", "", ""], True)


def test_what_only_looked_like_a_beginning_comes_out():
    assert feed(["<end>"], ["a<en", "x"]) == (["a", "<enx", ""], False)


def test_held_text_is_not_lost_at_the_end():
    assert feed(["<end>"], ["a<en"]) == (["a", "<en"], False)


def test_text_is_shown_at_once_where_nothing_can_match():
    assert StopStrings(["zzz"]).push("hello") == "hello"


def test_nothing_comes_after_a_match():
    matcher = StopStrings(["b"])
    assert matcher.push("abc") == "a"
    assert matcher.push("def") == ""
    assert matcher.flush() == ""
    assert matcher.matched == "b"
