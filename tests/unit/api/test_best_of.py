"""Which of several answers are given."""

from mlxd.api.answer import Answer
from mlxd.api.openai.best_of import best
from mlxd.types import FinishReason, Timings, Usage
from mlxd.wire.events import Finished


def answer(name, logprob, tokens):
    usage, timings = Usage(prompt_tokens=1, completion_tokens=tokens), Timings(queue=0, prefill=0, decode=0)
    end = Finished(id=name, parts=[], tokens=0, reason=FinishReason.STOP, usage=usage, timings=timings, cumulative_logprob=logprob)
    return Answer(parts=[], end=end)


def names(answers):
    return [answer.end.id for answer in answers]


def test_the_likeliest_per_token_come_first():
    answers = [answer("a", -4.0, 2), answer("b", -5.0, 5), answer("c", -3.0, 1)]
    assert names(best(answers, 2)) == ["b", "a"]
    assert names(best(answers, 1)) == ["b"]


def test_where_none_is_left_out_the_order_is_theirs():
    assert names(best([answer("a", -4.0, 1), answer("b", -1.0, 1)], 2)) == ["a", "b"]


def test_an_answer_without_tokens_is_no_fault():
    assert names(best([answer("a", -1.0, 1), answer("b", 0.0, 0)], 1)) == ["b"]
