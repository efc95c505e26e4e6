"""The next tokens of the sequences of a batch, with what sampling remembers of each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.engine.mask_pool import MaskPool, NextMask
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.runtime.sampling.draws import Draws, Undrawn, no_draws
from mlxd.worker.runtime.sampling.finite import is_finite
from mlxd.worker.runtime.sampling.logits_processors import LogitsProcessor, make_processors
from mlxd.worker.runtime.sampling.masks import masked
from mlxd.worker.runtime.sampling.sampler import draw_seed, row_key, sample
from mlxd.worker.runtime.sampling.scores import ScoredRow, Scores, score


@dataclass
class _Row:
    """One sequence. ``position`` counts the tokens sampled so far; ``top`` is as ``EngineRequest.logprobs``."""

    params: SamplingParams
    seed: int
    top: int | None
    processors: list[LogitsProcessor] = field(default_factory=list)
    mask: NextMask | None = None
    position: int = 0


class RowSampler:
    """Samples the sequences of a batch. ``vocab`` is how many ids the model has, ``end_tokens`` are those that end what it says. Nothing is
    evaluated here.

    A sequence with a constraint is sampled apart, once the mask behind its last token is there: others need not wait for it.
    """

    def __init__(self, vocab: int, end_tokens: Collection[int] = ()) -> None:
        self._vocab = vocab
        self._end_tokens = end_tokens
        self._masks = MaskPool()
        self._rows: dict[str, _Row] = {}
        self._constrained: set[str] = set()

    def open(self, request: EngineRequest) -> None:
        """Begins with a sequence that will be sampled."""
        seed = draw_seed() if request.sampling.seed is None else request.sampling.seed
        row = _Row(request.sampling, seed, request.logprobs, make_processors(request, self._vocab, self._end_tokens))
        if request.constraint is not None:
            row.mask = self._masks.begin(request.constraint)
            self._constrained.add(request.id)
        self._rows[request.id] = row

    def close(self, sequence: str) -> None:
        """Forgets a sequence that will not be sampled any more."""
        self._rows.pop(sequence, None)
        self._constrained.discard(sequence)

    def top(self, sequence: str) -> int:
        """Returns how many of the most likely tokens the sequence asks for in each place."""
        return self._rows[sequence].top or 0

    def sample(self, logits: mx.array, sequences: Sequence[str]) -> Draws:
        """Samples one token for each of ``sequences`` from ``logits`` ``[S, vocab]``; those with constraints are ``undrawn``."""
        if self._constrained.isdisjoint(sequences):
            return self._draw(logits, sequences)
        free = [at for at, name in enumerate(sequences) if name not in self._constrained]
        others = [at for at, name in enumerate(sequences) if name in self._constrained]
        draws = self._draw(logits[mx.array(free)], [sequences[at] for at in free]) if free else no_draws()
        names = tuple(sequences[at] for at in others)
        return replace(draws, undrawn=Undrawn(names, logits[mx.array(others)] if free else logits))

    def mask(self, sequence: str) -> NextMask | None:
        """Returns the mask of a sequence's next token; None for one that is closed, or has no constraint."""
        row = self._rows.get(sequence)
        return None if row is None else row.mask

    def draw(self, rows: Sequence[Undrawn]) -> Draws:
        """Samples rows whose masks are ready: the tokens before must have been accepted."""
        if not rows:
            return no_draws()
        logits = rows[0].logits if len(rows) == 1 else mx.concatenate([one.logits for one in rows])
        return self._draw(logits, [name for one in rows for name in one.sequences])

    def accept(self, tokens: Mapping[str, tuple[SampledToken, ...]]) -> None:
        """Lets constraints know which tokens came, each once."""
        for name in self._constrained.intersection(tokens):
            mask = self._rows[name].mask
            if mask is not None:
                mask.accept([token.id for token in tokens[name]])

    def _draw(self, logits: mx.array, sequences: Sequence[str]) -> Draws:
        if not sequences:
            return no_draws()
        rows = [self._rows[sequence] for sequence in sequences]
        failed: dict[str, Exception] = {}
        finite, raw = is_finite(logits), logits
        if any(row.mask for row in rows):
            logits = masked(logits, [_mask(name, row, failed) for name, row in zip(sequences, rows, strict=True)])
        if any(row.processors for row in rows):
            logits = mx.concatenate([_process(name, self._rows[name], logits[at : at + 1], failed) for at, name in enumerate(sequences)])
        if logits is not raw:
            finite = finite & is_finite(logits)  # a processor may hide what is no number, and may overflow itself
        tokens = sample(logits, [row.params for row in rows], [row_key(row.seed, row.position) for row in rows])
        for at, (name, row) in enumerate(zip(sequences, rows, strict=True)):
            row.position += 1
            if name not in failed:
                _add(name, row, tokens[at : at + 1], failed)
        return Draws(tuple(sequences), tokens, finite, failed, _scores(raw, tokens, sequences, rows))


def _scores(raw: mx.array, tokens: mx.array, sequences: Sequence[str], rows: Sequence[_Row]) -> tuple[Scores, ...]:
    """Scores the rows that ask for it, by the logits as the model computed them."""
    asking = [at for at, row in enumerate(rows) if row.top is not None]
    if not asking:
        return ()
    if len(asking) < len(rows):
        raw, tokens = raw[mx.array(asking)], tokens[mx.array(asking)]
    return (score(raw, tokens, [ScoredRow(sequences[at], rows[at].top or 0) for at in asking]),)


def _mask(sequence: str, row: _Row, failed: dict[str, Exception]) -> bytes | None:
    """Returns a mask that allows everything where the constraint raises: then the sequence has failed, and no other."""
    try:
        return None if row.mask is None else row.mask.wait()
    except Exception as error:  # noqa: BLE001 - whatever a constraint raises
        failed[sequence] = error
        return None


def _process(sequence: str, row: _Row, logits: mx.array, failed: dict[str, Exception]) -> mx.array:
    """Returns ``[1, vocab]``, unchanged where a processor raises: then the sequence has failed, and no other."""
    processed = logits
    try:
        for processor in row.processors:
            processed = processor.apply(processed)
    except Exception as error:  # noqa: BLE001 - as above
        failed[sequence] = error
        return logits
    return processed


def _add(sequence: str, row: _Row, token: mx.array, failed: dict[str, Exception]) -> None:
    try:
        for processor in row.processors:
            processor.add(token)
    except Exception as error:  # noqa: BLE001 - as above
        failed[sequence] = error
