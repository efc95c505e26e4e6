"""Streams whose texts are known, stepped by a device whose times are known: what speculation gains there."""

import random

from mlxd.types import Limits, SamplingParams, SpeculationKind
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.speculation.indexed_text import IndexedText
from mlxd.worker.engine.speculation.lookup_drafter import LookupDrafter
from mlxd.worker.engine.speculation.speculation import Speculation
from mlxd.worker.engine.step_cost import StepShape
from mlxd.worker.kv.block_chain import BlockChain

CPU = {1: 1.0, 5: 1.08, 9: 1.45, 17: 2.6, 33: 5.0, 129: 20.0}  # times of one row, as measured on a processor of two cores


def cpu(rows):
    """Seconds of a step of so many rows, between the measured ones."""
    low = max(known for known in CPU if known <= rows)
    high = min((known for known in CPU if known >= rows), default=low)
    part = 0 if high == low else (rows - low) / (high - low)
    return 0.05 * (CPU[low] + part * (CPU[high] - CPU[low]))


def stream(name, prompt, answer, *, predicted=None, index=True):
    """A sequence whose first token is there."""
    encoded = EncodedPrompt(list(prompt), len(answer), CacheRoot(model="model"))
    looked_up, prediction = IndexedText.of(prompt) if index else None, None if predicted is None else IndexedText.of(predicted)
    request = EngineRequest(name, encoded, SamplingParams(), looked_up=looked_up, predicted=prediction)
    sequence = Sequence(request, BlockChain.of(encoded, 16))
    sequence.tokens.append(answer[0])
    sequence.computed = len(prompt)
    return sequence


class Streams:
    """``answers`` by name; ``seconds`` is what a step of so many rows takes, ``noise`` the deviation of its logarithm."""

    def __init__(self, answers, *, prompts=None, seconds=cpu, noise=0.1, limits=None, model=None, speculation=None):
        self.answers = answers
        self.sequences = {name: stream(name, (prompts or {}).get(name, [0]), answer) for name, answer in answers.items()}
        limits = limits or Limits(speculation=SpeculationKind.AUTO)
        self.speculation = speculation or Speculation(limits, [LookupDrafter()], model)
        self.seconds, self.noise, self.chance = seconds, noise, random.Random(1)  # noqa: S311
        self.took = self.alone = 0.0
        self.steps = self.guessed = 0

    def step(self):
        decoding = [one for one in self.sequences.values() if one.generated < len(self.answers[one.id])]
        guesses = self.speculation.guesses(decoding)
        sampled = {one.id: self._sampled(one, guesses.get(one.id)) for one in decoding}
        count = sum(one.count for one in guesses.values())
        took = self.seconds(len(decoding) + count)
        self.speculation.learn(sampled, {name: one.count for name, one in guesses.items()})
        self.speculation.observe(took * self.chance.lognormvariate(0, self.noise), StepShape(decode_rows=len(decoding), guesses=count))
        for one in decoding:
            one.tokens += [token.id for token in sampled[one.id]]
            one.computed = len(one.tokens) - 1
        self.steps, self.guessed, self.took = self.steps + 1, self.guessed + count, self.took + took
        self.alone += self.seconds(len(decoding)) * sum(map(len, sampled.values())) / len(decoding)

    def run(self):
        while any(one.generated < len(self.answers[name]) for name, one in self.sequences.items()):
            self.step()
        for name, one in self.sequences.items():
            assert one.tokens[len(one.request.tokens) :] == list(self.answers[name])
            self.speculation.close(name)
        return self

    @property
    def gain(self):
        """How many times as fast as the same without guesses."""
        return self.alone / self.took

    def _sampled(self, sequence, guesses):
        at, answer = sequence.generated, self.answers[sequence.id]
        tokens = guesses.tokens if guesses else ()
        right = next((i for i, token in enumerate(tokens) if token != answer[at + i]), len(tokens))
        return tuple(map(SampledToken, answer[at : at + right + 1]))


def noise_of(seed, count, kinds):
    chance = random.Random(seed)  # noqa: S311
    return [chance.randrange(kinds) for _ in range(count)]
