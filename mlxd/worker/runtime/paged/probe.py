"""Is the paged runner right for this model? Not by its name: by its logits.

A sequence is fed in chunks, the last one beside the whole prompt of another, and beside that of a third one that begins with the blocks of
the first and goes on elsewhere. Then all three decode a token together, which reads the shared beginning once for two of them; and then
two without the first, one of them over two runs. All of it, in the model's own type, must give the logits of the plain model. Where the
model has a sliding window that a prompt can outgrow at little cost, it does.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache
from typing_extensions import override

from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.addresses import Addresses
from mlxd.worker.kv.block_table import BlockTable, Run, WindowRuns
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.attention.parts import SHARED_MINIMUM
from mlxd.worker.runtime.paged.layer_cache import NotPageableError
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.proof import ATTEMPTS, Tolerance, difference, random_tokens

_SHORT = 9  # tokens
_PROMPTS = 3  # sequences: as many rows of logits come before those of decoded tokens
_SNAPSHOT = 0  # the name of the recurrent state behind the shared beginning, where a model has any
_LONGEST = {"cpu": 160, "gpu": 2048}  # tokens, to outgrow a window


class ProbeFailedError(NotPageableError):
    """The model's logits over the paged cache are not those of the plain model."""

    code = "probe_failed"


@dataclass(frozen=True)
class _Sequence:
    """A sequence of ``prompt`` and the tokens ``decoded`` after it, one in a step; ``runs`` hold them all."""

    name: str
    prompt: list[int]
    decoded: list[int]
    runs: tuple[Run, ...]
    windows: tuple[int, ...]  # those whose layers have blocks of their own, in tokens
    block_size: int

    def chunk(self, start: int, stop: int, *, samples: bool = True, resume: int | None = None, keep: int | None = None) -> Chunk:
        """Returns the chunk of tokens ``start`` to ``stop``."""
        tokens = tuple([*self.prompt, *self.decoded][start:stop])
        windows = tuple(self._held(start, window) for window in self.windows)
        return Chunk(self.name, start, stop - start, tokens, self.runs, samples, resume, keep, windows=windows)

    def _held(self, start: int, window: int) -> WindowRuns:
        """Returns what it has left of its blocks when it goes on behind ``start`` tokens: no row sees any of the others."""
        passed = max(0, start - window + 1) // self.block_size
        table = BlockTable(Addresses(sum(map(len, self.runs)) + max(run.stop for run in self.runs)))
        table.extend(range(run.start, run.stop) for run in self.runs)
        table.pass_by(passed)
        return table.window_runs

    def next(self, step: int) -> Chunk:
        """Returns the chunk of the token it decodes in this step."""
        return self.chunk(len(self.prompt) + step, len(self.prompt) + step + 1)


@dataclass(frozen=True)
class Case:
    """Three sequences, of which ``twin`` begins with the first ``shared`` tokens of ``long``, in the same blocks."""

    long: _Sequence
    short: _Sequence
    twin: _Sequence
    shared: int


class Reference(Protocol):
    """What tells which logits are right, for error messages by its ``name``."""

    name: str

    def tolerance(self, loaded: LoadedModel) -> Tolerance:
        """Returns what counts as rounding."""

    def logits(self, loaded: LoadedModel, model: PagedModel, case: Case) -> mx.array:
        """Returns the logits ``[8, vocab]`` of a case, float32, in the order of ``paged_logits``. The model may forget what it holds; its
        arenas stay as large as they are.
        """


class PlainModel(Reference):
    """The model as mlx-lm computes it."""

    name = "the plain model's"

    @override
    def tolerance(self, loaded: LoadedModel) -> Tolerance:
        return Tolerance(loaded)

    @override
    def logits(self, loaded: LoadedModel, model: PagedModel, case: Case) -> mx.array:
        return _plain(loaded.model, case)


@dataclass(frozen=True)
class Proof:
    """What a model was proved by: a case, whose keys and values it has still, and the logits ``[8, vocab]`` that are right."""

    case: Case
    expected: mx.array
    tolerance: Tolerance
    reference: Reference

    def holds(self, model: PagedModel) -> bool:
        """Tells whether the model, whose arenas are as they were, decodes the case rightly now, by another way to attend. States have gone
        on: where there are any, the prompts are computed again.
        """
        with model.narrowed():
            if model.states.exist:
                return self.tolerance.allows(difference(self.expected, paged_logits(model, self.case)))
            decoded = mx.concatenate(_decoded(model, self.case)).astype(mx.float32)
            return self.tolerance.allows(difference(self.expected[_PROMPTS:], decoded))


def probe(loaded: LoadedModel, model: PagedModel, reference: Reference | None = None) -> Proof:
    """Proves the model by the logits of the plain one, or of another ``reference``, and leaves it as it computed last: its sizes are known
    now. Raises ``ProbeFailedError``, or whatever the model raises.
    """
    with model.narrowed():
        return _probed(loaded, model, reference or PlainModel())


def _probed(loaded: LoadedModel, model: PagedModel, reference: Reference) -> Proof:
    found, tolerance = float("inf"), reference.tolerance(loaded)
    for attempt in range(ATTEMPTS):
        case = _case(loaded, model, attempt)
        expected = reference.logits(loaded, model, case)
        found = min(found, difference(expected, paged_logits(model, case)))
        if tolerance.allows(found):
            return Proof(case, expected, tolerance, reference)
    raise ProbeFailedError(f"its logits over the paged cache differ from {reference.name} by {found:.2g} standard deviations")


def _case(loaded: LoadedModel, model: PagedModel, attempt: int) -> Case:
    """Returns random sequences, and gives the model an arena that has room for them."""
    size = model.geometry.block_size
    shared = -(-SHARED_MINIMUM // size)  # blocks
    length = _length(model, loaded.device, shared * size)
    tokens = iter(random_tokens(loaded, length + 1 + 2 * (_SHORT + 2), attempt))
    long, short, twin = (list(itertools.islice(tokens, count)) for count in (length + 1, _SHORT + 2, _SHORT + 2))
    blocks, tail = -(-(length + 1) // size), -(-(_SHORT + 2) // size)
    geometry = Geometry(size, blocks + 2 * tail)
    windows = model.passable_windows(loaded.context_length)
    model.resize(geometry, dict.fromkeys(windows, geometry))
    return Case(
        _Sequence("long", long[:-1], long[-1:], (Run(0, blocks),), windows, size),
        _Sequence("short", short[:-2], short[-2:], (Run(blocks, blocks + tail),), windows, size),
        _Sequence(
            "twin",
            [*long[: shared * size], *twin[:-2]],
            twin[-2:],
            (Run(0, shared), Run(blocks + tail, blocks + 2 * tail)),
            windows,
            size,
        ),
        shared * size,
    )


def _length(model: PagedModel, device: str, shared: int) -> int:
    """Returns the length of the longer prompt, in tokens."""
    return max([shared + _SHORT, *(window + _SHORT for window in model.windows if window + _SHORT <= _LONGEST[device])])


def _plain(model: Any, case: Case) -> mx.array:
    """Returns the logits ``[8, vocab]``, float32, in the order of ``paged_logits``."""
    long, short, twin = (list(_plain_rows(model, sequence)) for sequence in (case.long, case.short, case.twin))
    return mx.stack([long[0], short[0], twin[0], long[1], twin[1], short[1], twin[2], short[2]]).astype(mx.float32)


def _plain_rows(model: Any, sequence: _Sequence) -> Iterator[mx.array]:
    """Yields the logits ``[vocab]`` after the prompt, and after each token behind it."""
    cache = make_prompt_cache(model)
    for tokens in (sequence.prompt, *([token] for token in sequence.decoded)):
        yield model(mx.array(tokens)[None], cache=cache)[0, -1]


def paged_logits(model: PagedModel, case: Case) -> mx.array:
    """Returns the logits ``[8, vocab]``, float32, of the three prompts, of a token of each, and of one more of two of them."""
    long, short, twin, shared = case.long, case.short, case.twin, case.shared
    middle = shared // 2 + 1
    model.clear()
    _forward(model, long.chunk(0, middle, samples=False))
    _forward(model, long.chunk(middle, shared, samples=False, keep=_SNAPSHOT))
    ends = (long.chunk(shared, len(long.prompt)), short.chunk(0, len(short.prompt)), twin.chunk(shared, len(twin.prompt), resume=_SNAPSHOT))
    return mx.concatenate([_forward(model, *ends), *_decoded(model, case)]).astype(mx.float32)


def _decoded(model: PagedModel, case: Case) -> list[mx.array]:
    """Returns the logits after a token of each sequence, and after one more of two of them."""
    long, short, twin = case.long, case.short, case.twin
    return [_forward(model, long.next(0), twin.next(0), short.next(0)), _forward(model, twin.next(1), short.next(1))]


def _forward(model: PagedModel, *chunks: Chunk) -> mx.array:
    tokens = [token for chunk in chunks for token in chunk.tokens or ()]
    rows = model.forward(StepPlan(chunks=chunks), mx.array(tokens)).rows
    mx.eval(rows, *model.tensors())
    return rows
