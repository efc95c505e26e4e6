"""gpt-oss's answers are read as OpenAI's own library reads them, where that reads them at all: it raises on what is malformed."""

import base64
import json
import random

import openai_harmony
import pytest

from mlxd.types import ReasoningShape, ToolShape
from mlxd.wire.output_spec import OutputSpec
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.shapes import Shapes
from mlxd.worker.text.token_kinds import TokenKinds, byte_level
from tests.support.examples import examples
from tests.support.real_tokenizers import real_tokenizer
from tests.unit.worker_text.conversations import TEMPLATES
from tests.unit.worker_text.shapes.case import RULES, told

WORDS = [
    "Hello",
    "Zürich ",
    "東京",
    "🌧️",
    "\n\n",
    "{",
    "}",
    '"a"',
    "<|channel|> no",
    "if x:",
    "\t",
    "the weather ",
    "```py\n",
    " to=functions.f ",
]
ANSWERS = examples(100)


@pytest.fixture(scope="module")
def tokenizer():
    found = real_tokenizer("gptoss", TEMPLATES / "gpt-oss.jinja").tokenizer.backend_tokenizer
    found.encode_special_tokens = False  # as whoever used it last may have left it
    return found


@pytest.fixture(scope="module")
def encoding(tokenizer, tmp_path_factory):
    """Its vocabulary, written as the library looks for it: it would fetch it otherwise."""
    directory = tmp_path_factory.mktemp("encodings")
    added = tokenizer.get_added_tokens_decoder()
    pieces = sorted((token, piece) for piece, token in tokenizer.get_vocab(with_added_tokens=False).items() if token not in added)
    lines = [f"{base64.b64encode(byte_level(piece)).decode()} {token}\n" for token, piece in pieces]
    (directory / "o200k_base.tiktoken").write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(directory))
        yield openai_harmony.load_harmony_encoding(openai_harmony.HarmonyEncodingName.HARMONY_GPT_OSS)


def text(dice):
    return "".join(dice.choices(WORDS, k=dice.randrange(12)))


def message(dice):
    """A message's header, its body, and what ends it."""
    kind = dice.randrange(5)
    if kind < 3:
        channel, end = (("analysis", "<|end|>"), ("commentary", "<|end|>"), ("final", "<|return|>"))[kind]
        return f"<|channel|>{channel}<|message|>", text(dice), end
    name = dice.choice(RULES.tools).name
    value = dice.choice([text(dice), dice.randrange(100), None, [text(dice), {"k": text(dice)}]])
    body = json.dumps({"city": value}, ensure_ascii=dice.random() < 0.5, indent=dice.choice([None, 2]))
    header = (f"<|channel|>commentary to=functions.{name} <|constrain|>json", f" to=functions.{name}<|channel|>commentary json")[kind - 3]
    return header + "<|message|>", body, "<|call|>"


def tokens_of(encoding, messages):
    tokens = []
    for number, (header, body, end) in enumerate(messages):
        start = "<|start|>assistant" if number else ""
        tokens += encoding.encode(start + header, allowed_special="all")
        tokens += encoding.encode(body, disallowed_special=())
        tokens += encoding.encode(end, allowed_special="all")
    return tokens


def ours(tokenizer, tokens, interval):
    controls = {token: added.content for token, added in tokenizer.get_added_tokens_decoder().items() if added.special}
    shapes = Shapes(tools=ToolShape.HARMONY, reasoning=ReasoningShape.HARMONY)
    reader = AnswerReader(lambda ids: tokenizer.decode([*ids], skip_special_tokens=True), TokenKinds(controls), shapes)
    prompt = tokenizer.encode("<|start|>user<|message|>hi<|end|><|start|>assistant", add_special_tokens=False).ids
    output = reader.output(EncodedPrompt(prompt, 10_000, CacheRoot(model="m")), OutputSpec(tools=RULES), interval)
    pieces = [output.push(token) for token in tokens[:-1]]
    output.push_end_token(tokens[-1])
    found = told([part for piece in [*pieces, output.finish()] if piece for part in piece.parts], output.warnings)
    assert not found.warnings
    return found.content, found.reasoning, [(name, json.loads(arguments)) for name, arguments in found.calls]


def theirs(encoding, tokens):
    content, reasoning, calls = "", "", []
    for one in encoding.parse_messages_from_completion_tokens(tokens, role=openai_harmony.Role.ASSISTANT):
        body = one.content[0].text
        if one.recipient and one.recipient.startswith("functions."):
            calls.append((one.recipient.removeprefix("functions."), json.loads(body)))
        elif one.channel == "analysis":
            reasoning += body
        else:
            content += body
    return content, reasoning, calls


def test_answers_are_read_as_openai_s_library_reads_them(encoding, tokenizer):
    dice = random.Random()  # noqa: S311 - others in each run
    for number in range(ANSWERS):
        messages = [message(dice) for _ in range(dice.randrange(1, 5))]
        tokens = tokens_of(encoding, messages)
        assert ours(tokenizer, tokens, 1 + number % 4) == theirs(encoding, tokens), messages
