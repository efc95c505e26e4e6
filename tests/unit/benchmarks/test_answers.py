"""What a client of the benchmarks saw of an answer."""

from benchmarks.harness.client import Answer, Delta


def answer(*times):
    return Answer(deltas=[Delta(at, "x") for at in times])


def test_tokens_of_one_step_arrive_together():
    gaps = answer(1.0, 1.2, 1.2001, 1.2002, 1.5).gaps()
    assert [(gap.began, gap.ended) for gap in gaps] == [(1.0, 1.2), (1.2, 1.5)]


def test_an_answer_that_has_only_begun_has_no_gaps():
    assert answer().gaps() == answer(1.0).gaps() == []
