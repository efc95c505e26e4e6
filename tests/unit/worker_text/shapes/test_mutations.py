"""Answers that go wrong in some place: read alike however they are cut, and nothing of them is lost."""

import json
import random
import re

import pytest

from mlxd.worker.text.parsers.registry import TOOLS
from tests.unit.worker_text.shapes.case import RULES, cut, read
from tests.unit.worker_text.shapes.test_calls import CORPORA

ROUNDS = 150
LONGEST = 500
WORD = "zqv"  # stands nowhere else
SILENT = re.compile(r'"(tool_call_id|id|type)": "[^"]*"')  # members of calls in JSON that say nothing
MARKS = [*"{}[]()\"'\\<>,:=/|\n `", "```", "</", "\ud55c"]


def damaged(written, dice):
    """``written`` with something missing, doubled, or in the wrong place."""
    at, size = dice.randrange(len(written) + 1), dice.randrange(1, 20)
    return dice.choice(
        [
            written[:at],
            written[at:],
            written[:at] + written[at + size :],
            written[: at + size] + written[at:],
            written[:at] + dice.choice(MARKS) + written[at:],
            written[:at] + written[: size * 3] + written[at:],
        ]
    )


def written_by(shape, seed):
    dice = random.Random(f"{shape} {seed}")  # noqa: S311
    cases = [case.written for case in CORPORA[shape] if len(case.written) <= LONGEST]
    for _ in range(ROUNDS):
        yield dice, dice.choice(cases)


@pytest.mark.parametrize("shape", CORPORA)
def test_a_damaged_answer_is_read_alike_however_it_is_cut(shape):
    for dice, written in written_by(shape, 1):
        answer = damaged(damaged(written, dice), dice)
        whole = read(TOOLS[shape](RULES), [answer])
        assert all(read(TOOLS[shape](RULES), cut(answer, size)) == whole for size in (1, 4)), answer
        if not whole.warnings:
            assert all(isinstance(json.loads(arguments), dict) for _, arguments in whole.calls), answer


@pytest.mark.parametrize("shape", CORPORA)
def test_a_word_anywhere_is_told(shape):
    for dice, written in written_by(shape, 2):
        silent = {at for match in SILENT.finditer(written) for at in range(match.start() + 1, match.end())}
        at = dice.choice([at for at in range(len(written) + 1) if at not in silent])
        answer = written[:at] + WORD + written[at:]
        found = read(TOOLS[shape](RULES), [answer])
        assert WORD in found.content + "".join(name + arguments for name, arguments in found.calls), answer
