from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from mlxd.worker.text.detokenizer import Detokenizer
from tests.support.tiny_model import EOS, make_tokenizer

TOKENIZER = make_tokenizer()


def decode(ids):
    return TOKENIZER.decode(list(ids), skip_special_tokens=True)


def pieces(ids, *, prompt=(), decode=decode):
    detokenizer = Detokenizer(decode, prompt)
    return [*(detokenizer.push(token) for token in ids), detokenizer.flush()]


@given(st.text(max_size=30))
def test_any_text_comes_back_whole(text):
    assert "".join(pieces(list(text.encode()))) == text


@given(st.lists(st.integers(0, EOS), max_size=40))
def test_any_tokens_give_what_decoding_them_together_gives(ids):
    assert "".join(pieces(ids)) == decode(ids)


@given(st.text(max_size=30))
def test_a_character_is_never_split(text):
    assert all("\ufffd" not in piece for piece in pieces(list(text.replace("\ufffd", "").encode())))


def test_a_character_appears_with_its_last_byte():
    assert pieces("☃é".encode()) == ["", "", "☃", "", "é", ""]


def test_an_incomplete_character_comes_out_only_at_the_end():
    assert pieces(b"a" + "☃".encode()[:2]) == ["a", "", "", "\ufffd"]


def test_special_tokens_have_no_text():
    assert pieces([ord("a"), EOS, ord("b")]) == ["a", "", "b", ""]


def sentencepiece():
    words = {"<unk>": 0, "▁Hello": 1, "▁world": 2, "!": 3, **{f"<0x{byte:02X}>": 4 + byte for byte in range(256)}}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return lambda ids: tokenizer.decode(list(ids))


def test_sentencepiece_keeps_spaces_between_words_and_drops_the_first():
    assert pieces([1, 2, 3], decode=sentencepiece()) == ["Hello", " world", "!", ""]


def test_a_continuation_keeps_the_space_after_the_prompt():
    assert pieces([2, 3], prompt=[1], decode=sentencepiece()) == [" world", "!", ""]


def test_byte_fallback_is_never_split():
    ids = [4 + byte for byte in "é☃".encode()]
    assert pieces([1, *ids, 2], decode=sentencepiece()) == ["Hello", "", "é", "", "", "☃", " world", ""]
