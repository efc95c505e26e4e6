"""``best_of``: of several answers to one prompt, those that the model finds likeliest."""

from collections.abc import Sequence

from mlxd.api.answer import Answer


def best(answers: Sequence[Answer], kept: int) -> list[Answer]:
    """Returns the ``kept`` answers with the highest log-probability per token, best first; all of them, as they are, where none is to be
    left out. This is OpenAI's measure: a sum would prefer whichever ends soonest.
    """
    if kept >= len(answers):
        return list(answers)
    return sorted(answers, key=_mean_logprob, reverse=True)[:kept]


def _mean_logprob(answer: Answer) -> float:
    return (answer.end.cumulative_logprob or 0.0) / max(1, answer.end.usage.completion_tokens)
