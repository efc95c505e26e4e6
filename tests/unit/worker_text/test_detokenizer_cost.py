"""What a token costs is bounded whatever came before it, and what cannot become a character comes out at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from mlxd.worker.text.detokenizer import Detokenizer
from mlxd.worker.text.output import Reading, TextOutput
from mlxd.worker.text.parsers.plain import PlainParser
from mlxd.worker.text.token_kinds import TokenKinds
from tests.support.tiny_model import EOS, IM_START, SPECIALS, make_tokenizer

TOKENIZER = make_tokenizer()
KNOWN = TokenKinds({256 + index: text for index, text in enumerate(SPECIALS)}, lambda token: bytes([token]) if token < 256 else None)
UNKNOWN = TokenKinds()


def decode(ids):
    return TOKENIZER.decode(list(ids), skip_special_tokens=True)


class CountingDecode:
    def __init__(self):
        self.longest = self.calls = 0

    def __call__(self, ids):
        self.longest, self.calls = max(self.longest, len(ids)), self.calls + 1
        return decode(ids)


@pytest.mark.parametrize("kinds", [KNOWN, UNKNOWN], ids=["bytes known", "bytes unknown"])
@pytest.mark.parametrize("token", [EOS, 0x80, 0xE6, 0xFF], ids=["control", "continuation", "lead", "never"])
def test_thousands_of_tokens_without_text_cost_the_same_each(kinds, token):
    counting = CountingDecode()
    output = TextOutput(counting, [5, 6], [], 1, Reading(PlainParser(), kinds))
    for _ in range(2_500):
        before, counting.longest = counting.calls, 0
        output.push(token)
        assert counting.calls - before <= 12
        assert counting.longest <= 16
    output.finish()
    assert counting.longest <= 16


def pieces(ids, kinds=KNOWN, prompt=(), decode=decode):
    detokenizer = Detokenizer(decode, prompt, kinds)
    return [*(detokenizer.push(token) for token in ids), detokenizer.flush()]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([0x80, 0x61], ["\ufffd", "a", ""]),
        ([0xFF, 0xFF], ["\ufffd", "\ufffd", ""]),
        ([0xE6, 0xE6, 0x97, 0xA5], ["", "\ufffd", "", "日", ""]),
        ([0xE2, 0x98, 0x61], ["", "", "\ufffda", ""]),
        ([0xF0, 0x9F, 0x98, 0xF0, 0x9F, 0x98, 0x80], ["", "", "", "\ufffd", "", "", "😀", ""]),
        ([0xC3, IM_START, 0xA9], ["", "", "é", ""]),
        ([0xE2, 0x98], ["", "", "\ufffd"]),
    ],
)
def test_what_cannot_be_completed_is_a_replacement_at_once(ids, expected):
    assert pieces(ids) == expected


@pytest.mark.parametrize("kinds", [KNOWN, UNKNOWN], ids=["bytes known", "bytes unknown"])
@given(ids=st.lists(st.sampled_from([0x61, 0x80, 0x98, 0x9F, 0xC3, 0xE2, 0xF0, 0xF5]), max_size=30))
def test_any_bytes_give_what_decoding_them_together_gives(kinds, ids):
    assert "".join(pieces(ids, kinds)) == bytes(ids).decode(errors="replace") == decode(ids)


def test_a_text_with_a_replacement_character_of_its_own_is_not_held_back():
    assert pieces([*"a\ufffd".encode(), 0x62]) == ["a", "", "", "\ufffd", "b", ""]


def sentencepiece():
    words = {"<unk>": 0, "▁Hello": 1, "▁world": 2, **{f"<0x{byte:02X}>": 3 + byte for byte in range(256)}}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return lambda ids: tokenizer.decode(list(ids))


def test_bytes_without_sense_do_not_spoil_the_characters_after_them():
    """Byte fallback decodes neighbouring bytes together, or none of them."""
    kinds = TokenKinds(raw_bytes=lambda token: bytes([token - 3]) if token >= 3 else None)
    ids = [1, 3 + 0xE6, 3 + 0xE6, 3 + 0x97, 3 + 0xA5, 3 + 0x80, *(3 + byte for byte in "é".encode()), 2]
    assert pieces(ids, kinds, decode=sentencepiece()) == ["Hello", "", "\ufffd", "", "日", "\ufffd", "", "é", " world", ""]
