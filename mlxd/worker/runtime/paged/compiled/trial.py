"""Are compiled steps right for this model, and do they pay on this device? Both are found out at load, by steps that are computed twice.

Sequences of different lengths, over two arenas, decode a few tokens, one of them alone and all together. Each step is computed as it is and
compiled, from the same keys and values: the first one of a shape is traced, and from the second on it shows whether something that differs
from step to step was taken for a constant. What is traced while others stream takes a few hundredths of a second: kernels that MLX makes of
fused operations are the same for all shapes, and are there by then.
"""

import itertools
import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlxd.types import AttentionWay, CompileWish, StepCompilation
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.calls import Layout
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.proof import Tolerance, difference, random_tokens

_LENGTHS = (19, 9, 33, 26)  # tokens of the sequences before they decode
_STEPS = 3
_TIMED = 7  # steps of each kind, of which the median counts
_GAIN = 0.98  # of the plain step's time: what gains less is not worth its memory

_log = logging.getLogger(__name__)


class _NotCompiledError(Exception):
    """Steps are not to be compiled; the message says why."""


def try_compiling(loaded: LoadedModel, model: PagedModel, wish: CompileWish, name: str = "the model") -> StepCompilation:
    """Returns whether the model's steps are compiled from now on, as it is left, and why. Its arenas hold anything then. The log calls it
    by ``name``.
    """
    try:
        found = StepCompilation(is_used=True, reason=_reason(loaded, model, wish))
    except _NotCompiledError as error:
        model.compiled = None
        found = StepCompilation(is_used=False, reason=str(error))
    _log.info("%s: decode steps are %s: %s", name, "compiled" if found.is_used else "not compiled", found.reason)
    return found


def _reason(loaded: LoadedModel, model: PagedModel, wish: CompileWish) -> str:
    """Tells why steps should be compiled; raises ``_NotCompiledError`` where they should not."""
    if wish == "off":
        raise _NotCompiledError('batching.compile = "off"')
    if wish == "auto" and loaded.device == "cpu":
        raise _NotCompiledError("on a CPU it does not pay: a step takes many times what Python does")
    if model.states.exist:
        raise _NotCompiledError("the model has recurrent states")
    if model.layout is not Layout.TOKENS:
        raise _NotCompiledError(model.manner.told)
    ways = {model.ways.regions.usual, *model.ways.regions.chosen.values()} - {AttentionWay.ROWS}
    if not ways:
        raise _NotCompiledError("rows attend one by one, which no compiled function does for all of them")
    regions = model.ways.regions
    try:
        return "; ".join([_of_way(loaded, model, way, wish) for way in sorted(ways)])
    finally:
        model.ways.regions = regions


def _of_way(loaded: LoadedModel, model: PagedModel, way: AttentionWay, wish: CompileWish) -> str:
    model.ways.regions = Regions(usual=way, most_copied=2**30)
    _prove(loaded, model)
    if wish == "on":
        return f'batching.compile = "on", and with {way} its logits were proved'
    case = _Case.of(loaded, model, attempt=0)
    plain, compiled = case.seconds()
    if compiled > _GAIN * plain:
        raise _NotCompiledError(f"with {way} a step takes {1e3 * compiled:.1f} ms compiled, and {1e3 * plain:.1f} ms as it is")
    return f"with {way} its logits were proved, and a step takes {1e3 * compiled:.1f} ms instead of {1e3 * plain:.1f}"


def _prove(loaded: LoadedModel, model: PagedModel) -> None:
    tolerance = Tolerance(loaded)
    found = tolerance.best(lambda attempt: _Case.of(loaded, model, attempt).difference())
    if not tolerance.allows(found):
        raise _NotCompiledError(f"compiled logits differ from those of the plain step by {found:.2g} standard deviations")


@dataclass(frozen=True)
class _Case:
    """Sequences whose prompts are computed, and the tokens that each of them decodes then."""

    model: PagedModel
    runs: tuple[tuple[Run, ...], ...]
    tokens: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, loaded: LoadedModel, model: PagedModel, attempt: int) -> "_Case":
        """Returns random ones, and leaves the model with two arenas, the end of the first amid the third sequence."""
        size = model.geometry.block_size
        blocks = [-(-(length + _STEPS) // size) for length in _LENGTHS]
        ends = list(itertools.accumulate(blocks))
        middle = ends[1] + (blocks[2] + 1) // 2
        model.resize(Geometry(size, middle))
        runs = tuple(tuple(_cut(end - count, end, middle)) for count, end in zip(blocks, ends, strict=True))
        words = iter(random_tokens(loaded, sum(_LENGTHS) + len(_LENGTHS) * _STEPS, attempt))
        tokens = tuple(tuple(itertools.islice(words, length + _STEPS)) for length in _LENGTHS)
        case = cls(model, runs, tokens)
        case.forward([case.chunk(row, 0, length) for row, length in enumerate(_LENGTHS)], compiled=False)
        model.compile()
        return case

    def chunk(self, row: int, start: int, stop: int) -> Chunk:
        return Chunk(str(row), start, stop - start, self.tokens[row][start:stop], self.runs[row], samples=True)

    def difference(self) -> float:
        """Returns the largest difference between the logits of a step and of the same one compiled, in standard deviations.

        Raises ``_NotCompiledError`` where none was compiled.
        """
        worst = 0.0
        for step, rows in itertools.product(range(_STEPS), (1, len(_LENGTHS))):
            chunks = self._decode(step, rows)
            worst = max(worst, difference(self.forward(chunks, compiled=False), self.forward(chunks, compiled=True)))
        return worst

    def seconds(self) -> tuple[float, float]:
        """Returns the time of a plain and of a compiled step, each the sum of one with one row and one with all."""
        totals = [0.0, 0.0]
        for rows in (1, len(_LENGTHS)):
            chunks = self._decode(0, rows)
            times = [(self._timed(chunks, compiled=False), self._timed(chunks, compiled=True)) for _ in range(_TIMED)]
            for at in (0, 1):
                totals[at] += statistics.median(pair[at] for pair in times)
        return totals[0], totals[1]

    def forward(self, chunks: Sequence[Chunk], *, compiled: bool) -> mx.array:
        """Returns the logits ``[N, vocab]`` of the chunks' last tokens, evaluated."""
        steps = self.model.compiled
        if not compiled:
            self.model.compiled = None
        tokens = mx.array([token for chunk in chunks for token in chunk.tokens or ()])
        try:
            logits = self.model.forward(StepPlan(chunks=tuple(chunks)), tokens).rows
        finally:
            self.model.compiled = steps
        mx.eval(logits, *self.model.tensors())
        if compiled and steps is not None and (trouble := steps.trouble or ("" if steps.traced else "no step was compiled")):
            raise _NotCompiledError(trouble)
        return logits

    def _timed(self, chunks: Sequence[Chunk], *, compiled: bool) -> float:
        began = time.perf_counter()
        self.forward(chunks, compiled=compiled)
        return time.perf_counter() - began

    def _decode(self, step: int, rows: int) -> list[Chunk]:
        return [self.chunk(row, _LENGTHS[row] + step, _LENGTHS[row] + step + 1) for row in range(rows)]


def _cut(start: int, stop: int, end: int) -> Iterator[Run]:
    """Yields the blocks as runs, none across the ``end`` of the first arena."""
    if start < min(stop, end):
        yield Run(start, min(stop, end))
    if max(start, end) < stop:
        yield Run(max(start, end), stop)
