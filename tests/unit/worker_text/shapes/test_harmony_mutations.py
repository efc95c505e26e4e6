"""gpt-oss's answers that go wrong in some place: read alike however they are cut, and no message's body is lost."""

import random

from mlxd.worker.text.parsers.harmony import HarmonyParser
from tests.unit.worker_text.shapes.case import RULES, cut, read
from tests.unit.worker_text.shapes.harmony import CASES, CONTROLS, PROMPT

ROUNDS = 600
WORD = "zqv"
ODD = ["??", "assistant", " to=", "functions.", "now", "analysis", "json", "{", "}", '"', "\n", " "]


def pieces():
    dice = random.Random(5)  # noqa: S311
    answers = [case.written for case in CASES if len(case.written) <= 500]
    for _ in range(ROUNDS):
        yield dice, cut(dice.choice(answers), 7, CONTROLS)


def damaged(tokens, dice):
    """The tokens with one or two of them gone, doubled, or strange."""
    tokens = [*tokens]
    for _ in range(dice.randrange(1, 3)):
        at = dice.randrange(len(tokens))
        what = dice.randrange(4)
        if what == 0 and len(tokens) > 1:
            del tokens[at]
        elif what == 1:
            tokens = tokens[: at + 1]
        else:
            tokens.insert(at, dice.choice([*sorted(CONTROLS), *ODD]))
    return tokens


def recut(tokens, size):
    """The same answer in other pieces."""
    return cut("".join(tokens), size, CONTROLS)


def test_a_damaged_answer_is_read_alike_however_it_is_cut():
    for dice, tokens in pieces():
        answer = damaged(tokens, dice)
        whole = read(HarmonyParser(RULES), [*PROMPT, *recut(answer, 1000)], CONTROLS)
        assert all(read(HarmonyParser(RULES), [*PROMPT, *recut(answer, size)], CONTROLS) == whole for size in (1, 3)), answer
        shown = whole.content + whole.reasoning + "".join(arguments for _, arguments in whole.calls)
        assert not any(marker in shown for marker in CONTROLS), answer


def test_a_word_anywhere_in_a_body_is_told():
    for dice, tokens in pieces():
        bodies = [at for at, token in enumerate(tokens) if token == "<|message|>"]
        if not bodies:
            continue
        at = dice.choice(bodies) + 1
        found = read(HarmonyParser(RULES), [*PROMPT, *tokens[:at], WORD, *tokens[at:]], CONTROLS)
        assert WORD in found.content + found.reasoning + "".join(arguments for _, arguments in found.calls), tokens
