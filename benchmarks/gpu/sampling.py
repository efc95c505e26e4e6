"""What sampling costs on this device, and whether it draws only what it may: each kind beside greedy rows."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from mlxd.types import SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.runtime.sampling.row_sampler import RowSampler

Probabilities = npt.NDArray[np.float64]

_ROUNDING = 1e-3  # of a sum of probabilities


def _all(probabilities: Probabilities) -> Probabilities:
    return np.ones_like(probabilities, bool)


def _most_likely(probabilities: Probabilities, count: int) -> Probabilities:
    return probabilities >= np.sort(probabilities)[-count]


def _nucleus(probabilities: Probabilities, share: float) -> Probabilities:
    """Returns which tokens come before those before them add up to ``share``."""
    order = np.argsort(-probabilities)
    before = np.cumsum(probabilities[order]) - probabilities[order]
    allowed = np.zeros_like(probabilities, bool)
    allowed[order[before < share + _ROUNDING]] = True
    return allowed


def _near_the_most_likely(probabilities: Probabilities, share: float) -> Probabilities:
    return probabilities >= share * probabilities.max() * (1 - _ROUNDING)


@dataclass(frozen=True)
class Kind:
    """A way to sample, and which tokens it may draw of probabilities ``[vocab]``; penalties change these first, and so may draw any."""

    name: str
    params: Mapping[str, object]
    allowed: Callable[[Probabilities], Probabilities] = _all


KINDS = (
    Kind("greedy", {"temperature": 0.0}, lambda p: _most_likely(p, 1)),
    Kind("temperature", {}),
    Kind("top_p 0.9", {"top_p": 0.9}, lambda p: _nucleus(p, 0.9)),
    Kind("top_k 40", {"top_k": 40}, lambda p: _most_likely(p, 40)),
    Kind("min_p 0.05", {"min_p": 0.05}, lambda p: _near_the_most_likely(p, 0.05)),
    Kind("top_p, top_k, min_p", {"top_p": 0.9, "top_k": 40, "min_p": 0.01}, lambda p: _most_likely(p, 40) & _nucleus(p, 0.9)),
    Kind("penalties", {"repetition_penalty": 1.1, "frequency_penalty": 0.2, "presence_penalty": 0.1}),
)


@dataclass(frozen=True)
class Sampling:
    """Milliseconds of a step's sampling, and how many tokens it drew that it may not."""

    kind: str
    rows: int
    milliseconds: float
    python_milliseconds: float
    wrong: int


def measured(vocab_size: int, rows: int, steps: int) -> Iterator[Sampling]:
    """Yields what each kind takes for ``rows`` of random logits, as flat as a model's of moderate doubt."""
    logits = 3 * mx.random.normal((rows, vocab_size), key=mx.random.key(rows))
    mx.eval(logits)
    for kind in KINDS:
        yield _Rig(vocab_size, rows, kind).measure(logits, steps)


@dataclass
class _Rig:
    vocab_size: int
    rows: int
    kind: Kind
    sampler: RowSampler = field(init=False)

    def __post_init__(self) -> None:
        self.sampler = RowSampler(self.vocab_size)
        for row in range(self.rows):
            prompt = EncodedPrompt([(row * 97 + at * at) % self.vocab_size for at in range(200)], 10_000, CacheRoot(model="x"))
            values = {"temperature": 1.0, "seed": row, **self.kind.params}
            self.sampler.open(EngineRequest(str(row), prompt, SamplingParams(**values)))  # type: ignore[arg-type]  # of fields by name

    def measure(self, logits: mx.array, steps: int) -> Sampling:
        names = [SampledRow(str(row)) for row in range(self.rows)]
        softmax = np.array(mx.softmax(logits.astype(mx.float32), axis=-1)).astype(float)
        allowed = np.stack([self.kind.allowed(row) for row in softmax])
        took, python, wrong = [], [], 0
        for _ in range(steps + 1):  # the first compiles
            began, spent = time.perf_counter(), time.thread_time()
            draws = self.sampler.sample(logits, names)
            python.append(time.thread_time() - spent)
            mx.eval(draws.tensors())
            took.append(time.perf_counter() - began)
            read = draws.read()
            wrong += sum(not allowed[row, read[str(row)][0].id] for row in range(self.rows))
            self.sampler.accept(read)
        return Sampling(self.kind.name, self.rows, 1e3 * statistics.median(took[1:]), 1e3 * statistics.median(python[1:]), wrong)
