"""The next tokens of the sequences of a batch, with what sampling remembers of each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from mlxd.types import SamplingParams
from mlxd.worker.engine.mask_pool import MaskPool, NextMask
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow, SampledToken
from mlxd.worker.runtime.sampling.draws import Draws, Undrawn, no_draws
from mlxd.worker.runtime.sampling.finite import is_finite
from mlxd.worker.runtime.sampling.logits_processor import LogitsProcessor, NewTokens
from mlxd.worker.runtime.sampling.masks import masked
from mlxd.worker.runtime.sampling.processors import batch_processors
from mlxd.worker.runtime.sampling.sampler import draw_seed, row_key, sample
from mlxd.worker.runtime.sampling.scores import ScoredRow, Scores, score


@dataclass
class _Sequence:
    """One sequence. ``position`` counts the tokens sampled so far; ``top`` is as ``EngineRequest.logprobs``. With an ``error`` its next
    token cannot be sampled.
    """

    params: SamplingParams
    seed: int
    top: int | None
    mask: NextMask | None = None
    position: int = 0
    error: Exception | None = None


class RowSampler:
    """Samples the sequences of a batch. ``vocab`` is how many ids the model has, ``end_tokens`` are those that end what it says. Nothing is
    evaluated here.

    A sequence with a constraint is sampled apart, once the mask behind its last token is there: others need not wait for it.

    Every row is sampled by the key of its request's seed and its own position, whatever was guessed: a guess counts where it is what is
    sampled. So the text is the same with guesses and without. For a guess that is one token, that is what speculative sampling does
    (Leviathan et al. 2023, Fast Inference from Transformers via Speculative Decoding): token d is accepted with the probability p(d),
    and else another drawn from p without d. A draft model that draws by the same keys is accepted about as often as by that paper's
    rule, for two draws from similar distributions by the same Gumbel noise are mostly equal.
    """

    def __init__(self, vocab: int, end_tokens: Collection[int] = ()) -> None:
        self._vocab = vocab
        self._masks = MaskPool()
        self._processors = batch_processors(vocab, end_tokens)
        self._sequences: dict[str, _Sequence] = {}
        self._constrained: set[str] = set()
        self._guessing: set[str] = set()  # of which more than one row was sampled, and nobody has said which of them count

    def open(self, request: EngineRequest) -> None:
        """Begins with a sequence that will be sampled."""
        seed = draw_seed() if request.sampling.seed is None else request.sampling.seed
        sequence = _Sequence(request.sampling, seed, request.logprobs)
        for processor in self._processors:
            processor.open(request)
        if request.constraint is not None:
            sequence.mask = self._masks.begin(request.constraint)
            self._constrained.add(request.id)
        self._sequences[request.id] = sequence

    def close(self, sequence: str) -> None:
        """Forgets a sequence that will not be sampled any more."""
        self._sequences.pop(sequence, None)
        self._constrained.discard(sequence)
        self._guessing.discard(sequence)
        for processor in self._processors:
            processor.close(sequence)

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
        known, rows = [self._sequences[name] for name in sequences], [SampledRow(name) for name in sequences]
        logits = _of_width(logits, self._vocab)
        for processor in self._processors:
            logits = _process(processor, logits, rows, {})
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
        guessed = self._guessing.intersection(tokens)
        if guessed:
            self._add(NewTokens.of({name: [token.id for token in tokens[name]] for name in guessed}))
            self._guessing -= guessed

    def _draw(self, logits: mx.array, rows: Sequence[SampledRow]) -> Draws:
        if not rows:
            return no_draws()
        sequences = [self._sequences[row.sequence] for row in rows]
        failed = {row: sequence.error for row, sequence in zip(rows, sequences, strict=True) if sequence.error is not None}
        finite, raw = is_finite(logits), logits
        if any(sequence.mask for sequence in sequences):
            logits = masked(logits, [_mask(row, sequence, failed) for row, sequence in zip(rows, sequences, strict=True)])
        for processor in self._processors:
            logits = _process(processor, logits, rows, failed)
        if logits is not raw:
            finite = finite & is_finite(logits)  # a processor may hide what is no number, and may overflow itself
        keys = [row_key(one.seed, one.position + len(row.guessed)) for row, one in zip(rows, sequences, strict=True)]
        tokens = sample(logits, [sequence.params for sequence in sequences], keys)
        self._advance(tokens, rows)
        return Draws(tuple(rows), tokens, finite, failed, _scores(raw, tokens, rows, sequences))

    def _advance(self, tokens: mx.array, rows: Sequence[SampledRow]) -> None:
        """Counts the tokens of sequences that have not guessed: nobody need read them to know that they are the next ones."""
        self._guessing.update(row.sequence for row in rows if row.guessed)
        single = [at for at, row in enumerate(rows) if row.sequence not in self._guessing]
        if single:
            new = tokens if len(single) == len(rows) else tokens[mx.array(single)]
            self._add(NewTokens(tuple(rows[at].sequence for at in single), (1,) * len(single), new[:, None]))

    def _add(self, new: NewTokens) -> None:
        for name, length in zip(new.sequences, new.lengths, strict=True):
            self._sequences[name].position += length
        for processor in self._processors:
            for name, error in _take_in(processor, new).items():
                self._sequences[name].error = error


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


def _process(processor: LogitsProcessor, logits: mx.array, rows: Sequence[SampledRow], failed: dict[SampledRow, Exception]) -> mx.array:
    """Returns ``logits`` ``[R, vocab]`` as the processor changes them; unchanged those of rows for which it raises. They have failed, and
    no other.
    """
    try:
        return processor.apply(logits, rows)
    except Exception:  # noqa: BLE001 - whatever a processor raises: whose fault it is shows alone
        return mx.concatenate([_process_alone(processor, logits[at : at + 1], row, failed) for at, row in enumerate(rows)])


def _process_alone(processor: LogitsProcessor, logits: mx.array, row: SampledRow, failed: dict[SampledRow, Exception]) -> mx.array:
    try:
        return processor.apply(logits, [row])
    except Exception as error:  # noqa: BLE001 - as above
        failed[row] = error
        return logits


def _take_in(processor: LogitsProcessor, new: NewTokens) -> dict[str, Exception]:
    """Has a processor take note of new tokens, and returns what it raises of single sequences."""
    try:
        processor.add(new)
    except Exception as error:  # noqa: BLE001 - as above
        if len(new.sequences) == 1:
            return {new.sequences[0]: error}
        return {name: error for one in new.each() for name, error in _take_in(processor, one).items()}
    return {}
