"""The next tokens of the sequences of a batch, with what sampling remembers of each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.engine.mask_pool import MaskPool, NextMask
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow, SampledToken
from mlxd.worker.runtime.sampling.draws import Draws, Undrawn, no_draws
from mlxd.worker.runtime.sampling.finite import is_finite
from mlxd.worker.runtime.sampling.logits_processors import LogitsProcessor, make_processors
from mlxd.worker.runtime.sampling.masks import masked
from mlxd.worker.runtime.sampling.sampler import draw_seed, row_key, sample
from mlxd.worker.runtime.sampling.scores import ScoredRow, Scores, score


@dataclass
class _Sequence:
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
        self._sequences: dict[str, _Sequence] = {}
        self._constrained: set[str] = set()
        self._guessing: set[str] = set()  # of which more than one row was sampled, and nobody has said which of them count

    def open(self, request: EngineRequest) -> None:
        """Begins with a sequence that will be sampled."""
        seed = draw_seed() if request.sampling.seed is None else request.sampling.seed
        sequence = _Sequence(request.sampling, seed, request.logprobs, make_processors(request, self._vocab, self._end_tokens))
        if request.constraint is not None:
            sequence.mask = self._masks.begin(request.constraint)
            self._constrained.add(request.id)
        self._sequences[request.id] = sequence

    def close(self, sequence: str) -> None:
        """Forgets a sequence that will not be sampled any more."""
        self._sequences.pop(sequence, None)
        self._constrained.discard(sequence)
        self._guessing.discard(sequence)

    def top(self, sequence: str) -> int:
        """Returns how many of the most likely tokens the sequence asks for in each place."""
        return self._sequences[sequence].top or 0

    def sample(self, logits: mx.array, rows: Sequence[SampledRow]) -> Draws:
        """Samples one token for each of ``rows`` from ``logits`` ``[R, vocab]``; those of sequences with constraints are ``undrawn``. Where
        a sequence has several rows, they are in the order of their guesses, and ``accept`` must say what came before it is sampled again.
        """
        if self._constrained.isdisjoint(row.sequence for row in rows):
            return self._draw(logits, rows)
        free = [at for at, row in enumerate(rows) if row.sequence not in self._constrained]
        others = [at for at, row in enumerate(rows) if row.sequence in self._constrained]
        draws = self._draw(logits[mx.array(free)], [rows[at] for at in free]) if free else no_draws()
        named = tuple(rows[at] for at in others)
        self._guess(named)
        return replace(draws, undrawn=Undrawn(named, logits[mx.array(others)] if free else logits))

    def draw_guesses(self, logits: mx.array, sequences: Sequence[str], ahead: int) -> mx.array:
        """Returns a token ``[S]``, int32, for each of ``sequences``, drawn from another model's ``logits`` ``[S, any]`` with the noise and
        by the filters of the token that is to come ``ahead`` places behind its next one. Nothing is noted, and no constraint is asked.
        """
        known = [self._sequences[name] for name in sequences]
        logits = _of_width(logits, self._vocab)
        if any(sequence.processors for sequence in known):
            rows = enumerate(zip(sequences, known, strict=True))
            logits = mx.concatenate([_process(SampledRow(name), one, logits[at : at + 1], {}) for at, (name, one) in rows])
        keys = [row_key(sequence.seed, sequence.position + ahead) for sequence in known]
        return sample(logits, [sequence.params for sequence in known], keys).astype(mx.int32)

    def _guess(self, rows: Sequence[SampledRow]) -> None:
        """Has the masks behind guesses worked out."""
        for name, guessed in {row.sequence: row.guessed for row in rows if row.guessed}.items():  # the last row's: it has all of them
            mask = self.mask(name)
            if mask is not None:
                mask.guess(guessed)

    def mask(self, sequence: str) -> NextMask | None:
        """Returns the mask of a sequence's next token; None for one that is closed, or has no constraint."""
        known = self._sequences.get(sequence)
        return None if known is None else known.mask

    def draw(self, undrawn: Sequence[Undrawn]) -> Draws:
        """Samples rows whose masks are ready: the tokens before must have been accepted."""
        if not undrawn:
            return no_draws()
        logits = undrawn[0].logits if len(undrawn) == 1 else mx.concatenate([one.logits for one in undrawn])
        return self._draw(logits, [row for one in undrawn for row in one.rows])

    def accept(self, tokens: Mapping[str, tuple[SampledToken, ...]]) -> None:
        """Takes note of which tokens came, each once: constraints do, and sequences that guessed."""
        for name in self._constrained.intersection(tokens):
            mask = self._sequences[name].mask
            if mask is not None:
                mask.accept([token.id for token in tokens[name]])
        for name in self._guessing.intersection(tokens):
            self._sequences[name].position += len(tokens[name])
            self._guessing.discard(name)

    def _draw(self, logits: mx.array, rows: Sequence[SampledRow]) -> Draws:
        if not rows:
            return no_draws()
        sequences = [self._sequences[row.sequence] for row in rows]
        failed: dict[SampledRow, Exception] = {}
        finite, raw = is_finite(logits), logits
        if any(sequence.mask for sequence in sequences):
            logits = masked(logits, [_mask(row, sequence, failed) for row, sequence in zip(rows, sequences, strict=True)])
        if any(sequence.processors for sequence in sequences):
            processed = zip(rows, sequences, strict=True)
            logits = mx.concatenate([_process(row, one, logits[at : at + 1], failed) for at, (row, one) in enumerate(processed)])
        if logits is not raw:
            finite = finite & is_finite(logits)  # a processor may hide what is no number, and may overflow itself
        keys = [row_key(one.seed, one.position + len(row.guessed)) for row, one in zip(rows, sequences, strict=True)]
        tokens = sample(logits, [sequence.params for sequence in sequences], keys)
        self._advance(tokens, rows, failed)
        return Draws(tuple(rows), tokens, finite, failed, _scores(raw, tokens, rows, sequences))

    def _advance(self, tokens: mx.array, rows: Sequence[SampledRow], failed: dict[SampledRow, Exception]) -> None:
        """Counts the tokens of sequences that have not guessed: nobody need read them to know that they are the next ones."""
        self._guessing.update(row.sequence for row in rows if row.guessed)
        for at, row in enumerate(rows):
            if row.sequence not in self._guessing:
                sequence = self._sequences[row.sequence]
                sequence.position += 1
                if row not in failed:
                    _add(row, sequence, tokens[at : at + 1], failed)


def _of_width(logits: mx.array, width: int) -> mx.array:
    """Returns ``logits`` ``[S, any]`` as ``[S, width]``: noise is drawn for a whole vocabulary at once, so it is the same only for the
    same width.
    """
    missing = width - logits.shape[-1]
    if missing <= 0:
        return logits[:, :width]
    return mx.concatenate([logits, mx.full((logits.shape[0], missing), -mx.inf, logits.dtype)], axis=-1)


def _scores(raw: mx.array, tokens: mx.array, rows: Sequence[SampledRow], sequences: Sequence[_Sequence]) -> tuple[Scores, ...]:
    """Scores the rows that ask for it, by the logits as the model computed them."""
    asking = [at for at, sequence in enumerate(sequences) if sequence.top is not None]
    if not asking:
        return ()
    if len(asking) < len(rows):
        raw, tokens = raw[mx.array(asking)], tokens[mx.array(asking)]
    return (score(raw, tokens, [ScoredRow(rows[at].sequence, sequences[at].top or 0, rows[at].guessed) for at in asking]),)


def _mask(row: SampledRow, sequence: _Sequence, failed: dict[SampledRow, Exception]) -> bytes | None:
    """Returns a mask that allows everything where the constraint raises: then the row has failed, and no other."""
    try:
        return None if sequence.mask is None else sequence.mask.wait(len(row.guessed))
    except Exception as error:  # noqa: BLE001 - whatever a constraint raises
        failed[row] = error
        return None


def _process(row: SampledRow, sequence: _Sequence, logits: mx.array, failed: dict[SampledRow, Exception]) -> mx.array:
    """Returns ``[1, vocab]``, unchanged where a processor raises: then the row has failed, and no other."""
    processed = logits
    try:
        for processor in sequence.processors:
            processed = processor.apply(processed)
    except Exception as error:  # noqa: BLE001 - as above
        failed[row] = error
        return logits
    return processed


def _add(row: SampledRow, sequence: _Sequence, token: mx.array, failed: dict[SampledRow, Exception]) -> None:
    try:
        for processor in sequence.processors:
            processor.add(token)
    except Exception as error:  # noqa: BLE001 - as above
        failed[row] = error
