"""Answers of every shape mean the same however they are cut, and what they should."""

import pytest

from mlxd.types import ToolShape
from mlxd.worker.text.parsers.registry import TOOLS
from tests.unit.worker_text.shapes import (
    cohere,
    deepseek,
    gemma,
    glm,
    hermes,
    json_bare,
    kimi,
    longcat,
    minimax,
    mistral,
    pythonic,
    qwen_xml,
)
from tests.unit.worker_text.shapes.case import RULES, check, cut, read

CORPORA = {
    ToolShape.COHERE: cohere.CASES,
    ToolShape.DEEPSEEK: deepseek.CASES,
    ToolShape.GEMMA: gemma.CASES,
    ToolShape.GLM: glm.CASES,
    ToolShape.HERMES: hermes.CASES,
    ToolShape.JSON: json_bare.CASES,
    ToolShape.KIMI: kimi.CASES,
    ToolShape.LONGCAT: longcat.CASES,
    ToolShape.MINIMAX: minimax.CASES,
    ToolShape.MISTRAL: mistral.CASES,
    ToolShape.PYTHONIC: pythonic.CASES,
    ToolShape.QWEN_XML: qwen_xml.CASES,
}


@pytest.mark.parametrize("shape", CORPORA)
def test_an_answer_means_what_it_should_however_it_is_cut(shape):
    for case in CORPORA[shape]:
        whole = read(TOOLS[shape](RULES), [case.written])
        check(case, whole)
        for size in (1, 2, 3, 5, 7):
            assert read(TOOLS[shape](RULES), cut(case.written, size)) == whole, case.name


@pytest.mark.parametrize("shape", CORPORA)
def test_there_are_enough_answers(shape):
    assert len(CORPORA[shape]) >= 25
