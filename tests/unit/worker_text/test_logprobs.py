"""Log-probabilities say what the answer says, byte by byte, and nothing behind a stop string."""

import pytest
from tokenizers import Tokenizer, decoders, models

from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.engine.sampled import SampledToken, TokenLogprob
from mlxd.worker.text.logprobs import AnswerLogprobs, TokenTexts, prompt_logprobs
from mlxd.worker.text.token_kinds import TokenKinds

END, THINK = 256, 257
CONTROLS = {END: "<|end|>", THINK: "<think>"}
BYTES = TokenTexts(
    lambda tokens: bytes(token for token in tokens if token < 256).decode(errors="replace"),
    TokenKinds(CONTROLS, lambda token: bytes([token]) if token < 256 else None),
)


def token(number, *top):
    return SampledToken(number, -0.5, tuple(TokenLogprob(one, -1.0) for one in top))


def answer(*numbers, matched=None, ends=False, every=1, **spec):
    """What deltas and the end carry; a delta comes after ``every`` tokens, but not with the one that completes a stop string."""
    logprobs = AnswerLogprobs(BYTES, CONTROLS, OutputSpec(logprobs=0, **spec))
    told = []
    for count, number in enumerate(numbers, start=1):
        logprobs.push(token(number))
        is_matched = matched is not None and count == len(numbers)
        told += logprobs.take() if count % every == 0 and not is_matched else []
    if ends:
        logprobs.push_end(token(END))
    return told, logprobs.finish(matched), logprobs.cumulative


def said(*entries):
    return b"".join(one.raw for one in entries)


def test_bytes_of_the_tokens_are_the_answer_and_half_characters_have_theirs():
    told, rest, cumulative = answer(*"é日".encode(), ends=True)
    assert said(*told) == "é日".encode()
    assert rest == []
    assert told[0].text == "\ufffd"
    assert told[0].raw == b"\xc3"
    assert cumulative == pytest.approx(-0.5 * 6)


def test_candidates_have_texts_too():
    logprobs = AnswerLogprobs(BYTES, CONTROLS, OutputSpec(logprobs=2))
    logprobs.push(token(ord("a"), ord("b"), END))
    (one,) = logprobs.take()
    assert [(candidate.text, candidate.raw, candidate.logprob) for candidate in one.top] == [
        ("b", b"b", -1.0),
        ("<|end|>", b"<|end|>", -1.0),
    ]


def test_control_tokens_have_an_entry_only_where_they_are_shown():
    assert said(*answer(THINK, *b"ab")[0]) == b"ab"
    assert said(*answer(THINK, *b"ab", special_tokens=True)[0]) == b"<think>ab"


@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_a_stop_string_is_cut_off_and_nothing_of_it_was_told_before(every):
    told, rest, _ = answer(*b"say END", matched="END", every=every, stop=["END", "x"])
    assert said(*told, *rest) == b"say "
    told, rest, _ = answer(*b"say END", matched="END", every=every, stop=["END"], include_stop=True)
    assert said(*told, *rest) == b"say END"


def test_what_only_begins_like_a_stop_string_is_told_in_the_end():
    told, rest, _ = answer(*b"say EN", stop=["END"])
    assert said(*told) == b"say "
    assert said(*told, *rest) == b"say EN"


def test_the_stop_string_that_counts_is_the_one_in_the_last_token():
    """An earlier one may lie in reasoning, which stop strings do not end."""
    told, rest, _ = answer(*b"a--b--", matched="--", stop=["--", "nothing so long"])
    assert said(*told, *rest) == b"a--b"


def test_a_token_that_is_shown_in_part_has_its_entry():
    texts = TokenTexts(lambda tokens: "".join(["ab", "cEN", "Dd"][one] for one in tokens), TokenKinds())
    logprobs = AnswerLogprobs(texts, (), OutputSpec(logprobs=0, stop=["END"]))
    for number in range(3):
        logprobs.push(token(number))
    assert [one.id for one in logprobs.finish("END")] == [0, 1]


@pytest.fixture
def sentencepiece():
    """As SentencePiece's models are converted: a word begins with its space, but for the first of a text; bytes have tokens."""
    vocab = {"▁": 0, "▁a": 1, "b": 2, "<0xE6>": 3, "<0x97>": 4, "<0xA5>": 5}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    raw = {3: b"\xe6", 4: b"\x97", 5: b"\xa5"}
    return TokenTexts(tokenizer.decode, TokenKinds({}, raw.get))


def test_words_have_their_space_and_the_first_of_a_prompt_has_none(sentencepiece):
    prompt = prompt_logprobs(sentencepiece, 1, [token(1), token(2), token(3), token(4), token(5)])
    assert said(*prompt) == "a ab日".encode()
    assert [one.logprob for one in prompt] == [None] + [-0.5] * 5
    assert [one.text for one in prompt[:3]] == ["a", " a", "b"]
