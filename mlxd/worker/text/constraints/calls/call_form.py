"""What a form of calls is, and how several calls become one rule."""

from collections.abc import Callable, Sequence
from typing import Protocol

from mlxd.worker.text.constraints.calls.offered import Offered
from mlxd.worker.text.constraints.grammar import Rule, composed
from mlxd.worker.text.constraints.vocabulary import Vocabulary

MOST_CALLS = 16  # of one answer; a model that repeats itself would go on for ever


class CallForm(Protocol):
    """A form in which one model writes calls. ``opening`` is the text with which the first begins, empty where nothing tells it."""

    opening: str

    def rest(self, tools: Sequence[Offered], vocabulary: Vocabulary, *, most: int) -> Rule:
        """Returns the rule of one to ``most`` calls behind the opening. Raises ``InvalidRequestError`` for a strict tool whose arguments
        cannot be written like this.
        """


def any_of(tools: Sequence[Offered], call: Callable[[Offered], Rule]) -> Rule:
    """Returns the rule of a call of any of the tools."""
    calls = [call(tool) for tool in tools]
    names = {f"call{tool.number}": one.expression for tool, one in zip(tools, calls, strict=True)}
    return composed("(" + " | ".join(names) + ")", *calls, **names)


def repeated(one: Rule, between: str, most: int) -> Rule:
    """Returns the rule of one to ``most`` of the same, with the expression ``between`` two of them."""
    if most == 1:
        return one
    return composed(f"one_call ({between} one_call){{0,{most - 1}}}", one, one_call=one.expression)
