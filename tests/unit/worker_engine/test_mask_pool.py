"""Masks behind guesses are those behind the same tokens once they have come, and a guess leaves nothing behind."""

import random

import pytest

from mlxd.errors import GenerationError
from mlxd.types import ToolShape
from mlxd.wire.output_spec import Choice, JsonSchema, OutputSpec, Tool, ToolRules
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.engine.mask_pool import MaskPool
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.shapes import Shapes
from tests.unit.worker_text.constraints.walk import THINKS, allowed_tokens, tiny_vocabulary

VOCABULARY = tiny_vocabulary("<think>", "</think>")
NUMBERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}
RULES = ToolRules(tools=[Tool(name="f", parameters=NUMBERS)], required=True)
YES = Choice(field="c", choices=["yes", "yesterday"])
KINDS = {
    "schema": (Shapes(), OutputSpec(constraint=JsonSchema(field="s", schema=NUMBERS)), Opening.CONTENT),
    "budget": (THINKS, OutputSpec(thinking_budget=5), Opening.REASONING),
    "budget before a grammar": (THINKS, OutputSpec(thinking_budget=5, constraint=YES), Opening.REASONING),
    "calls in time": (Shapes(tools=ToolShape.HERMES), OutputSpec(tools=RULES), Opening.NONE),
}


@pytest.fixture(scope="module")
def pool():
    return MaskPool()


def make(kind):
    shapes, spec, opening = KINDS[kind]
    return AnswerConstraints(VOCABULARY, shapes).of(spec, opening, 120)


def guesses(place, chance):
    """Some tokens that may come, the last of them perhaps one that may not."""
    place, found = place.copy(), []
    for _ in range(chance.randrange(4)):
        allowed = allowed_tokens(place, VOCABULARY)
        found.append(chance.choice(allowed) if chance.random() < 0.8 else chance.randrange(VOCABULARY.width))
        if found[-1] not in allowed:
            break
        place.accept(found[-1])
    return tuple(found)


def check(mask, place, guessed):
    """Every mask that is known is right, and none is known behind what may not come."""
    place = place.copy()
    for count, token in enumerate((*guessed, None)):
        assert mask.wait(count) == place.allowed()
        if token is None or token not in allowed_tokens(place, VOCABULARY):
            break
        place.accept(token)
    for more in range(count + 1, len(guessed) + 1):
        with pytest.raises(GenerationError):
            mask.wait(more)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_those_of_a_constraint_that_takes_one_token_after_the_other(pool, kind, seed):
    chance, truth, mask = random.Random(seed), make(kind), pool.begin(make(kind))  # noqa: S311
    for _ in range(25):
        guessed = guesses(truth, chance)
        if guessed or chance.random() < 0.5:
            mask.guess(guessed)
        check(mask, truth, guessed)
        come = []
        for token in (*guessed[: chance.randrange(len(guessed) + 1)], None):  # some guesses are right, and one more token comes
            allowed = allowed_tokens(truth, VOCABULARY)
            come.append(token if token in allowed else chance.choice(allowed))
            truth.accept(come[-1])
            if come[-1] != token:
                break
        mask.accept(come)
    assert mask.wait() == truth.allowed()


class Broken:
    """Raises behind token 2, and allows nothing behind token 3."""

    def __init__(self, last=0):
        self.last = last

    def allowed(self):
        return b"\0" if self.last == 3 else None

    def accept(self, token):
        if self.last == 2:
            raise ValueError("nothing follows")
        self.last = token

    def copy(self):
        return Broken(self.last)


@pytest.mark.parametrize(("guessed", "known"), [((1, 1), 2), ((2, 1, 1), 1), ((1, 3, 1), 1)])
def test_what_a_constraint_raises_behind_a_guess_ends_the_guesses_only(pool, guessed, known):
    mask = pool.begin(Broken())
    mask.guess(guessed)
    assert [mask.wait(count) for count in range(known + 1)] == [None] * (known + 1)
    with pytest.raises(GenerationError):
        mask.wait(known + 1)
    mask.accept([7])
    assert mask.wait() is None


def test_what_it_raises_behind_what_has_come_is_raised(pool):
    mask = pool.begin(Broken())
    mask.guess((2, 1))
    mask.accept([2, 1])
    mask.guess((5,))
    with pytest.raises(ValueError, match="nothing follows"):
        mask.wait()
