"""How many guesses of a draft model pay, on a device whose times are known, of models that are right as often as chance has it."""

import random
from collections import Counter

import pytest

from mlxd.types import Limits, SamplingParams, SpeculationKind
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.executor import Drafting
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.speculation.draft_calls import DraftCalls, Rounds
from mlxd.worker.engine.speculation.lookup_drafter import LookupDrafter
from mlxd.worker.engine.speculation.model_drafter import ModelDrafter
from mlxd.worker.engine.speculation.speculation import Speculation
from mlxd.worker.engine.step_cost import StepShape
from mlxd.worker.kv.block_chain import BlockChain

LENGTH = 250  # tokens of an answer


def verifying(rows):
    """Seconds of a step of so many rows: a few more cost little, many cost as much as they are."""
    return 0.05 * max(1 + 0.02 * (rows - 1), 0.16 * rows)


class Drafted:
    """Streams whose next token a model guesses rightly with the chance that ``right`` names; a call of it takes ``share`` of a step."""

    def __init__(self, right, *, share, thought=0.3, kind=SpeculationKind.DRAFT, answer=None):
        self.chance, self.right, self.share = random.Random(2), right, share  # noqa: S311 - no secret
        self.speculation = Speculation(Limits(speculation=kind, draft_tokens=15), [LookupDrafter()], ModelDrafter(thought))
        self.answer = answer or [self.chance.randrange(1 << 30) for _ in range(LENGTH)]
        self.sequences = {name: self._begin(name) for name in right}
        self.took = self.alone = self.calls = self.looked_up = 0
        self.drafted = Counter()

    def _begin(self, name):
        encoded = EncodedPrompt([0], LENGTH, CacheRoot(model="model"))
        sequence = Sequence(EngineRequest(name, encoded, SamplingParams()), BlockChain.of(encoded, 16))
        sequence.tokens.append(self.answer[0])
        return sequence

    def run(self):
        while running := [one for one in self.sequences.values() if one.generated < LENGTH]:
            self._step(running)
        return self

    def _step(self, running):
        guesses = self.speculation.guesses(running)
        drafted = {name: one.count for name, one in guesses.items() if not one.tokens}
        rows = [sum(count > at for count in drafted.values()) for at in range(max(drafted.values(), default=0))]
        making = sum(self.share * 0.05 * (1 + 0.05 * (row - 1)) for row in rows)
        count = sum(one.count for one in guesses.values())
        took = verifying(len(running) + count)
        sampled = {one.id: self._sampled(one, guesses.get(one.id)) for one in running}
        noise = self.chance.lognormvariate(0, 0.1)
        self.speculation.learn(sampled, {name: one.count for name, one in guesses.items()})
        drafting = Drafting(making * noise, tuple(rows)) if rows else None
        self.speculation.observe((took + making) * noise, StepShape(decode_rows=len(running), guesses=count), drafting)
        for one in running:
            one.tokens += [token.id for token in sampled[one.id]]
        self.took, self.calls = self.took + took + making, self.calls + len(rows)
        self.drafted.update(drafted)
        self.looked_up += count - sum(drafted.values())
        self.alone += verifying(len(running)) * sum(map(len, sampled.values())) / len(running)

    def _sampled(self, sequence, guesses):
        at, right = sequence.generated, 0
        while guesses and right < guesses.count and self._is_right(sequence, guesses, at, right):
            right += 1
        return tuple(map(SampledToken, self.answer[at : at + right + 1]))

    def _is_right(self, sequence, guesses, at, place):
        if guesses.tokens:
            return guesses.tokens[place] == self.answer[at + place]
        return self.chance.random() < self.right[sequence.id]

    @property
    def gain(self):
        """How many times as fast as the same without guesses."""
        return self.alone / self.took


def streams(count, right):
    return {str(number): right for number in range(count)}


@pytest.mark.parametrize(
    ("right", "share", "least"), [(0.9, 0.05, 2.9), (0.8, 0.1, 1.9), (0.7, 0.1, 1.6), (0.8, 0.3, 1.2), (0.5, 0.05, 1.3), (0.3, 0.3, 0.97)]
)
def test_one_stream_gains_by_what_is_right_and_by_what_a_call_takes(right, share, least):
    assert Drafted(streams(1, right), share=share).run().gain > least


PAY_NOTHING = [(0.05, 0.1), (0.9, 1.2), (0.5, 0.6)]


@pytest.mark.parametrize(
    ("count", "right", "share"), [(count, *one) for count in (1, 4) for one in PAY_NOTHING] + [(16, 0.9, 1.2), (32, 0.05, 0.1)]
)
def test_nothing_to_speak_of_is_lost_where_guesses_do_not_pay(count, right, share):
    assert Drafted(streams(count, right), share=share).run().gain > 0.97


@pytest.mark.parametrize(("thought", "share", "least"), [(0.4, 0.05, 1.9), (0.01, 1.0, 0.97)])
def test_what_was_thought_of_a_call_beforehand_is_forgotten(thought, share, least):
    assert Drafted(streams(1, 0.8), share=share, thought=thought).run().gain > least


def test_one_stream_that_is_guessed_rightly_does_not_hold_up_others():
    assert Drafted({"good": 0.9, **{str(number): 0.02 for number in range(3)}}, share=0.05, thought=0.1).run().gain > 0.97


def test_calls_are_shared_by_streams():
    run = Drafted(streams(4, 0.8), share=0.1).run()
    assert run.drafted.total() > 1.5 * run.calls
    assert run.gain > 1.2


def test_what_is_looked_up_goes_first_where_it_is_right_for_it_costs_no_call():
    phrase = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    run = Drafted(streams(1, 0.7), share=0.2, kind=SpeculationKind.AUTO, answer=phrase * (LENGTH // 10)).run()
    assert run.looked_up > 5 * run.drafted.total()
    assert run.gain > 2.5


def test_rounds_add_what_a_call_takes_and_then_what_a_row_does():
    rounds = Rounds({"a", "b"}, lambda rows: 10 + rows)
    assert [rounds.add(name, at) for name, at in [("a", 0), ("b", 0), ("a", 1), ("looked up", 0), ("a", 2), ("b", 1)]] == [
        *(11, 1, 11, 0, 11, 1)
    ]


def test_calls_are_learned_as_shares_of_a_step():
    calls = DraftCalls(0.3)
    assert calls.of(1) == 0.3
    for _ in range(40):
        calls.observe(Drafting(0.02, (1, 1)), step=0.1)
        calls.observe(Drafting(0.03, (8, 8)), step=0.1)
    assert calls.of(1) == pytest.approx(0.1, rel=0.05)
    assert calls.of(8) == pytest.approx(0.15, rel=0.05)
    assert calls.of(4) == pytest.approx(0.121, rel=0.05)


def test_a_call_that_was_slow_once_is_tried_again():
    calls = DraftCalls(0.1)
    for seconds in (9.0, 0.01):
        calls.observe(Drafting(seconds, (1,)), step=0.1)
    assert calls.of(1) == pytest.approx(0.1, rel=0.1)  # at the first call the device makes ready
    for _ in range(9):
        calls.observe(Drafting(0.15, (1,)), step=0.1)
    assert calls.of(1) > 1
    for _ in range(2000):
        calls.fade()
    assert calls.of(1) < 0.2
