"""Log-probabilities of text completions: names of tokens, and where they are in the text."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mlxd.api.openai.text_logprobs import TextLogprobs
from mlxd.wire.logprobs import Candidate, TokenLogprobs


def token(raw, logprob=-1.0, **top):
    return TokenLogprobs(id=1, text=raw.decode(errors="replace"), raw=raw, logprob=logprob, top=candidates(top.get("top", {})))


def candidates(top):
    return [Candidate(id=2, text=raw.decode(errors="replace"), raw=raw, logprob=logprob) for raw, logprob in top.items()]


def test_an_answer():
    told = TextLogprobs().more([token(b"Hel", -0.5, top={b"Hel": -0.5, b"Hi": -1.5}), token(b"lo", -3.0, top={b"p": -0.1})])
    assert told == {
        "tokens": ["Hel", "lo"],
        "token_logprobs": [-0.5, -3.0],
        "top_logprobs": [{"Hel": -0.5, "Hi": -1.5}, {"p": -0.1, "lo": -3.0}],  # with the one that it was
        "text_offset": [0, 3],
    }


def test_nothing_is_known_of_a_prompt_s_first_token():
    told = TextLogprobs().echo("ab", [token(b"a", None), token(b"b")])
    assert (told["token_logprobs"], told["top_logprobs"]) == ([None, -1.0], [None, {"b": -1.0}])


def test_an_answer_begins_behind_its_prompt():
    logprobs = TextLogprobs()
    logprobs.echo("ab", [token(b"a", None), token(b"b")])
    assert logprobs.more([token(b"c"), token(b"d")])["text_offset"] == [2, 3]


def test_a_token_that_the_tokenizer_put_first_is_not_in_the_text():
    told = TextLogprobs().echo("ab", [token(b"<s>", None), token(b"a"), token(b"b")])
    assert told["text_offset"] == [0, 0, 1]


def test_parts_of_a_character_are_told_apart_and_begin_where_it_does():
    emoji = "x🦜y".encode()
    told = TextLogprobs().more([token(emoji[:3], top={emoji[:2]: -2.0, emoji[:3]: -3.0}), token(emoji[3:4]), token(emoji[4:])])
    assert told["tokens"] == ["bytes:\\x78\\xf0\\x9f", "bytes:\\xa6", "bytes:\\x9c\\x79"]
    assert told["text_offset"] == [0, 1, 1]
    assert len(told["top_logprobs"][0]) == 2


@given(st.text(min_size=1, max_size=12), st.lists(st.integers(0, 48), max_size=6))
def test_offsets_are_those_of_the_text_however_it_is_cut(text, cuts):
    raw = text.encode()
    bounds = sorted({0, len(raw), *(min(cut, len(raw)) for cut in cuts)})
    tokens = [token(raw[begin:end]) for begin, end in pairwise(bounds)]
    offsets = TextLogprobs().more(tokens)["text_offset"]
    assert offsets == [len(raw[:begin].decode(errors="ignore")) for begin in bounds[:-1]]
