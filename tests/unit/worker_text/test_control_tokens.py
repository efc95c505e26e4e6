"""Control tokens in answers: never shown, found by stop strings, and told to the parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.parts import Reasoning, Text, joined
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt, Opening
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.token_kinds import TokenKinds

CONTROLS = {
    "plain": ["<|im_start|>", "<|im_end|>"],
    "thinking": ["[THINK]", "[/THINK]", "</s>"],
    "harmony": ["<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|return|>", "<|call|>", "<|other|>"],
}


class Tokens:
    """One token a character, and some control tokens from U+10000 on."""

    def __init__(self, kind):
        self.controls = {0x10000 + index: text for index, text in enumerate(CONTROLS[kind])}
        self.reader = AnswerReader(self.decode, TokenKinds(self.controls))

    def decode(self, ids):
        return "".join(chr(token) for token in ids if token not in self.controls)

    def encode(self, text):
        ids = []
        while text:
            control = next((token for token, spelling in self.controls.items() if text.startswith(spelling)), None)
            ids.append(ord(text[0]) if control is None else control)
            text = text[1 if control is None else len(self.controls[control]) :]
        return ids

    def literally(self, text):
        return [ord(character) for character in text]


def answer(kind, written, *, prompt="", opening=Opening.NONE, stop=(), interval=1, end=None, **spec):
    """The parts of an answer, and the stop string that ended it. ``written``: text with control tokens, or ids."""
    tokens = Tokens(kind)
    encoded = EncodedPrompt(tokens.encode(prompt), 100, CacheRoot(model="m"), opening=opening)
    output = tokens.reader.output(encoded, OutputSpec(stop=list(stop), **spec), interval)
    parts = []
    for token in tokens.encode(written) if isinstance(written, str) else written:
        piece = output.push(token)
        parts += piece.parts if piece else []
        if output.matched_stop is not None:
            break
    else:
        if end:
            output.push_end_token(*tokens.encode(end))
    parts += output.finish().parts
    return joined(parts), output.matched_stop


def text(value):
    return [Text(text=value)]


def thought(value):
    return [Reasoning(text=value)]


# ---- any model ----


def test_a_control_token_is_not_shown():
    assert answer("plain", "a<|im_start|>b") == (text("ab"), None)


@pytest.mark.parametrize("stop", ["<|im_end|>", "b<|im_end|>", "<|im_end|>\n", "b<|im_end|>\n<|im_start|>u", "<|im_end|>\n<|im_start|>"])
@pytest.mark.parametrize("interval", [1, 4])
def test_a_stop_string_may_hold_control_tokens(stop, interval):
    shown = "a" if stop.startswith("b") else "ab"
    assert answer("plain", "ab<|im_end|>\n<|im_start|>user", stop=[stop], interval=interval) == (text(shown), stop)


@pytest.mark.parametrize("stop", ["im_end|>", "b<|im"])
def test_a_stop_string_may_begin_or_end_inside_a_control_token_s_spelling(stop):
    assert answer("plain", "ab<|im_end|>c", stop=[stop])[1] == stop


def test_a_stop_string_is_found_where_it_is_written_as_text():
    tokens = Tokens("plain")
    assert answer("plain", tokens.literally("ab<|im_end|>c"), stop=["<|im_end|>"]) == (text("ab"), "<|im_end|>")
    assert answer("plain", tokens.literally("ab<|im_end|>c")) == (text("ab<|im_end|>c"), None)


def test_a_stop_string_may_end_with_the_end_token():
    assert answer("plain", "abc", stop=["c<|im_end|>"], end="<|im_end|>") == (text("ab"), "c<|im_end|>")
    assert answer("plain", "abc", end="<|im_end|>") == (text("abc"), None)


def test_what_only_looked_like_such_a_stop_string_is_shown_without_the_control_token():
    assert answer("plain", "ab<|im_end|>c", stop=["b<|im_end|>d"]) == (text("abc"), None)
    assert answer("plain", "ab<|im_end|>", stop=["b<|im_end|>d"]) == (text("ab"), None)


# ---- reasoning between control tokens ----


def test_reasoning_between_control_tokens_is_apart_from_content():
    assert answer("thinking", "[THINK]hm[/THINK]Paris.") == ([*thought("hm"), *text("Paris.")], None)


def test_a_prompt_may_have_opened_the_reasoning():
    assert answer("thinking", "hm[/THINK]yes", opening=Opening.REASONING) == ([*thought("hm"), *text("yes")], None)
    assert answer("thinking", "yes", opening=Opening.CONTENT) == (text("yes"), None)


def test_stop_strings_end_content_not_reasoning():
    assert answer("thinking", "[THINK]no stop[/THINK]a stop", stop=["stop"]) == ([*thought("no stop"), *text("a ")], "stop")


# ---- gpt-oss ----

ASSISTANT = "<|start|>user<|message|>hi<|end|><|start|>assistant"
FINAL = "<|start|>assistant<|channel|>final<|message|>"
BOTH = f"<|channel|>analysis<|message|>Think.<|end|>{FINAL}Paris."


@pytest.mark.parametrize("interval", [1, 3, 16])
def test_channels_become_reasoning_and_content(interval):
    assert answer("harmony", BOTH, prompt=ASSISTANT, interval=interval, end="<|return|>") == ([*thought("Think."), *text("Paris.")], None)


@pytest.mark.parametrize("size", range(len(Tokens("harmony").encode(BOTH))))
def test_wherever_an_answer_is_cut_off_nothing_of_a_header_is_shown(size):
    parts, _ = answer("harmony", Tokens("harmony").encode(BOTH)[:size], prompt=ASSISTANT)
    kinds = {Reasoning: "Think.", Text: "Paris."}
    assert all(kinds[type(part)].startswith(part.text) for part in parts)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("<|channel|>commentary<|message|>I look.<|end|>" + FINAL + "Yes", text("I look.Yes")),
        ("<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>", text("{}")),
        (" to=functions.f<|channel|>commentary<|constrain|>json<|message|>{}<|call|>", text("{}")),
        ("<|channel|>analysis<|channel|>final<|message|>a", text("a")),  # doubled channel
        ("<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>b", [*thought("a"), *text("b")]),  # missing start
        ("<|channel|>other<|message|>a", text("a")),
        ("<|channel|><|constrain|>x<|message|>a", text("a")),
        ("<|message|>a", text("a")),
        ("<|channel|>final<|message|>a<|end|>b", text("ab")),  # text after an end
        ("<|channel|>final The answer.", text("The answer.")),
        ("Just text.", text("Just text.")),
        ("Just text" * 100, text("Just text" * 100)),
        ("<|end|>", []),
        ("<|start|><|start|>assistant", []),
    ],
)
def test_malformed_answers_lose_no_content(written, expected):
    assert answer("harmony", written, prompt=ASSISTANT)[0] == expected


@pytest.mark.parametrize("stop", ["<|end|>", "<|channel|>final", "final<|message|>", "<|start|>"])
def test_stop_strings_of_markers_and_headers(stop):
    assert answer("harmony", BOTH, prompt=ASSISTANT, stop=[stop]) == (thought("Think."), stop)


@pytest.mark.parametrize("stop", ["final", "analysis", "assistant", "ss", "|>", "message"])
def test_a_stop_string_is_no_word_of_a_header(stop):
    assert answer("harmony", BOTH, prompt=ASSISTANT, stop=[stop]) == ([*thought("Think."), *text("Paris.")], None)


def test_control_tokens_of_headers_are_not_shown_to_who_asks_for_others():
    written = BOTH.replace("Paris", "<|other|>Paris")
    assert answer("harmony", written, prompt=ASSISTANT, special_tokens=True)[0] == [*thought("Think."), *text("<|other|>Paris.")]


def test_a_prompt_may_have_begun_the_message():
    prompt = ASSISTANT + "<|channel|>final<|message|>The capital"
    assert answer("harmony", " is Paris", prompt=prompt)[0] == text(" is Paris")
    assert answer("harmony", "hm", prompt=ASSISTANT + "<|channel|>analysis<|message|>")[0] == thought("hm")


def test_markers_written_as_text_are_text():
    written = Tokens("harmony").encode("<|channel|>final<|message|>") + Tokens("harmony").literally("<|channel|>x<|end|>")
    assert answer("harmony", written, prompt=ASSISTANT)[0] == text("<|channel|>x<|end|>")


# ---- any answer ----

WRITTEN = [*CONTROLS["harmony"], "assistant", "final", "analysis", "commentary", " to=f", "json", "a", "Paris. ", "<|chan", "\n"]


@given(written=st.lists(st.sampled_from(WRITTEN), max_size=12), prompt=st.sampled_from(["", ASSISTANT, ASSISTANT + "<|channel|>"]))
def test_answers_of_any_form_are_read_alike_however_they_are_cut(written, prompt):
    ids = [token for word in written for token in Tokens("harmony").encode(word)]
    expected = answer("harmony", ids, prompt=prompt)
    assert all(answer("harmony", ids, prompt=prompt, interval=interval) == expected for interval in (4, 16))
    assert not any(marker in part.text for part in expected[0] for marker in CONTROLS["harmony"])


@given(st.lists(st.sampled_from(["a", "Paris. ", "\n", "<|end|>"]), max_size=12))
def test_the_body_of_a_message_loses_no_character(written):
    parts, _ = answer("harmony", "<|channel|>final<|message|>" + "".join(written), prompt=ASSISTANT)
    assert parts == joined(text("".join(written).replace("<|end|>", ""))) or not "".join(written).replace("<|end|>", "")
