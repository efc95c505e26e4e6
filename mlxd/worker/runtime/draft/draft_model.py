"""A smaller model that guesses what comes next, over the blocks of the model it drafts for.

It has keys and values of its own for the very same blocks. So prompts that begin alike share its work as they share the other one's, and
evictions, preemptions and moves need no second manager. What it has computed of each block, ``Coverage`` knows; the rest it computes
when guesses are wanted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import cast

import mlx.core as mx
import msgspec

from mlxd.worker.engine.executor import Drafting
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.kv.coverage import Coverage
from mlxd.worker.kv.move import Move
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.sampling.row_sampler import RowSampler

_PLAIN = 2  # tokens of a sequence that the model lacks where all guesses were right: its own last one, and the newest
_MOST_BEHIND = {"cpu": 64, "gpu": 512}  # tokens that it computes in one step to catch up, beside those of the step's prompts
_UNWANTED = 4  # steps with streams that want no guesses, after which prompts are left until somebody wants some
_ALONE = 4  # times as many where it holds up nobody else


@dataclass(frozen=True)
class Completed:
    """A plan that leaves nothing open, and what it took to make it so."""

    plan: StepPlan
    drafting: Drafting | None = None


class DraftModel:
    """Guesses the tokens that a plan leaves open. Nothing that it does, or has not done, changes what is said: only how many guesses are
    right.

    A guess is drawn as the other model's token is going to be: by the request's own key of seed and position, and by the same filters.
    Two models that share the noise of a Gumbel draw agree about as often as by any way to draw (Daliri, Musco and Suresh 2024, Coupling
    without Communication and Drafter-Invariant Speculative Decoding), and whoever verifies need only compare.
    """

    def __init__(self, loaded: LoadedModel, model: PagedModel) -> None:
        self._loaded = loaded
        self._model = model
        self._tokens: dict[str, list[int]] = {}  # of each sequence, as far as they are known
        self._coverage = Coverage(model.geometry.block_size)
        self._most_behind = _MOST_BEHIND[loaded.device]
        self._unwanted = 0  # steps with streams since the last one that wanted guesses

    def open(self, request: EngineRequest) -> None:
        """Begins with a sequence that will be in plans."""
        self._tokens[request.id] = list(request.tokens)

    def accept(self, sampled: Mapping[str, tuple[SampledToken, ...]]) -> None:
        """Takes in which tokens came."""
        for name in sampled.keys() & self._tokens.keys():
            self._tokens[name] += [token.id for token in sampled[name]]

    def close(self, sequence: str) -> None:
        """Lets go of a sequence that will be in no more plans."""
        self._tokens.pop(sequence, None)

    def resize(self, geometry: Geometry) -> None:
        """Changes to other arenas; everything in the old ones is forgotten."""
        self._model.resize(geometry)
        self._coverage = Coverage(geometry.block_size)

    def keep(self, arenas: tuple[Arena, ...]) -> None:
        """Makes arenas as large as it is told, and gives back the memory of all others."""
        self._model.keep(arenas)

    def lack(self, blocks: Sequence[int]) -> None:
        """Takes in that blocks hold what the other model alone has computed."""
        self._coverage.forget(blocks)

    def move(self, moves: Sequence[Move]) -> None:
        """Copies what blocks hold to others. It keeps everything, so it has none of the blocks of layers that see a window."""
        own = [move for move in moves if not move.group]
        for move in own:
            self._coverage.move(move)
        self._model.move(own)

    def clear(self) -> None:
        """Forgets all keys and values."""
        self._model.clear()
        self._coverage.clear()

    @property
    def weight_bytes(self) -> int:
        """Returns the bytes of its weights."""
        return self._loaded.weight_bytes

    @property
    def token_bytes(self) -> int:
        """Returns the bytes of one token's keys and values."""
        return self._model.token_bytes

    @property
    def nbytes(self) -> int:
        """Returns the bytes that are allocated for its keys and values."""
        return self._model.nbytes

    def complete(self, plan: StepPlan, sampler: RowSampler) -> Completed:
        """Returns ``plan`` with guesses where it leaves them open, drawn as ``sampler`` draws, or without those where the model is too far
        behind; waits for the device. On the way the model computes what it lacks of the plan's sequences.
        """
        self.keep(plan.arenas)
        self.move(plan.moves)
        began = monotonic()
        wishes = self._wishes(plan)
        if not wishes:
            return Completed(_filled(plan, {}))
        is_plain = all(wish.chunk.count <= _PLAIN for wish in wishes)
        tokens = mx.array([token for wish in wishes for token in wish.chunk.tokens or ()], mx.int32)
        rounds = [self._call(StepPlan(chunks=tuple(wish.chunk for wish in wishes)), tokens, _Drawing(sampler, 0))]
        while wishes := [wish for wish in wishes if wish.drafts > len(rounds)]:
            chunks = tuple(self._next(wish, len(rounds)) for wish in wishes)
            rounds.append(self._call(StepPlan(chunks=chunks), rounds[-1].of(chunks), _Drawing(sampler, len(rounds))))
        mx.async_eval(*(one.guesses for one in rounds), *self._model.tensors())  # type: ignore[no-untyped-call]  # mlx ships no types
        filled = _filled(plan, _read(rounds))
        return Completed(filled, Drafting(monotonic() - began, tuple(len(one.sequences) for one in rounds if one.sequences and is_plain)))

    def _call(self, plan: StepPlan, tokens: mx.array, drawing: "_Drawing") -> "_Round":
        logits = self._model.forward(plan, mx.minimum(tokens, self._loaded.vocab_size - 1))
        names = tuple(row.sequence for row in logits.sampled)
        return _Round(names, drawing.sampler.draw_guesses(logits.rows, names, drawing.ahead) if names else mx.zeros((0,), mx.int32))

    def _wishes(self, plan: StepPlan) -> list["_Wish"]:
        """Returns what is to be computed, sequences of one token first, as in any plan.

        Prompts are computed with the other model's, unless streams have wanted no guesses of late: then nobody knows whether these ever
        will.
        """
        if plan.prefill_tokens < plan.rows:
            self._unwanted = 0 if any(chunk.open for chunk in plan.chunks) else self._unwanted + 1
        behind = self._most_behind * (_ALONE if len(plan.chunks) == 1 else 1)
        wishes: list[_Wish] = []
        for chunk in plan.chunks:
            is_prompt = self._unwanted < _UNWANTED and chunk.count > 1 and not chunk.drafts
            covered = self._coverage.covered(chunk.runs, chunk.start) if chunk.open or is_prompt else chunk.start
            self._coverage.overwrite(chunk.runs, chunk.start, chunk.start + chunk.count)
            if chunk.open or is_prompt:
                wishes.append(self._wish(chunk, covered, behind))
                behind = max(0, behind - (chunk.start - covered))
        return sorted([wish for wish in wishes if wish.chunk.count], key=lambda wish: wish.chunk.count > 1)

    def _wish(self, chunk: Chunk, covered: int, behind: int) -> "_Wish":
        """Returns what is to be computed of a chunk's sequence, and at most ``behind`` tokens before that. Beyond its context the model
        knows nothing.
        """
        known, drafts = chunk.start + chunk.count - chunk.open, chunk.open
        stop = min(known, covered + behind + known - chunk.start, self._loaded.context_length - drafts)
        if stop <= covered:
            return _Wish(Chunk(chunk.sequence, covered, 0, (), chunk.runs, samples=False), 0)
        self._coverage.add(chunk.runs, covered, stop)
        drafts = drafts if stop == known else 0
        lacked = tuple(self._tokens[chunk.sequence][covered:stop])
        return _Wish(Chunk(chunk.sequence, covered, stop - covered, lacked, chunk.runs, samples=drafts > 0), drafts)

    def _next(self, wish: "_Wish", guessed: int) -> Chunk:
        """Returns the chunk of the last guess of a sequence of which so many are made."""
        start = wish.chunk.start + wish.chunk.count + guessed - 1
        self._coverage.add(wish.chunk.runs, start, start + 1)
        return Chunk(wish.chunk.sequence, start, 1, None, wish.chunk.runs, samples=True)


@dataclass(frozen=True)
class _Drawing:
    """How guesses are drawn that lie so many places ``ahead`` of the next token."""

    sampler: RowSampler
    ahead: int


@dataclass(frozen=True)
class _Wish:
    """What the draft model lacks of a sequence, and how many guesses are wanted behind it."""

    chunk: Chunk
    drafts: int


@dataclass(frozen=True)
class _Round:
    """A call that guesses one more token of each of ``sequences``: ``guesses`` ``[S]``, which need not be evaluated yet."""

    sequences: tuple[str, ...]
    guesses: mx.array

    def of(self, chunks: Sequence[Chunk]) -> mx.array:
        """Returns the guesses of the chunks' sequences, which are among these."""
        names = tuple(chunk.sequence for chunk in chunks)
        return self.guesses if names == self.sequences else self.guesses[mx.array([self.sequences.index(name) for name in names])]


def _read(rounds: Sequence[_Round]) -> dict[str, tuple[int, ...]]:
    """Returns the guesses by sequence; waits for the device, once."""
    values = iter(cast("list[int]", mx.concatenate([one.guesses for one in rounds]).tolist()))
    read: dict[str, tuple[int, ...]] = {}
    for one in rounds:
        for name in one.sequences:
            read[name] = (*read.get(name, ()), next(values))
    return read


def _filled(plan: StepPlan, guesses: Mapping[str, tuple[int, ...]]) -> StepPlan:
    """Returns the plan with ``guesses`` in the places that it leaves open, and none left open."""
    return msgspec.structs.replace(plan, chunks=tuple(_with(chunk, guesses.get(chunk.sequence, ())) for chunk in plan.chunks))


def _with(chunk: Chunk, guesses: tuple[int, ...]) -> Chunk:
    if not chunk.open:
        return chunk
    tokens = (*(chunk.tokens or ()), *guesses)
    return msgspec.structs.replace(chunk, tokens=tokens, count=len(tokens), drafts=len(guesses))
