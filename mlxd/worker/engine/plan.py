"""What one step computes: the scheduler's decision, as values the executor can follow without asking back.

Everything an executor needs is in here, and all of it is ``msgspec`` structs: a plan may be encoded, sent to another process that
holds a part of the model, and followed there unchanged.
"""

import msgspec

from mlxd.worker.encoded_prompt import MediaInput, MediaSpan
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.engine.step_cost import StepShape
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.kv.block_table import Run, WindowRuns
from mlxd.worker.kv.move import Move
from mlxd.worker.kv.transfers import Fetch, Spill


class Chunk(msgspec.Struct, frozen=True):
    """The part of one sequence that a step computes: ``count`` tokens after the ``start`` that have keys and values already.

    ``targets`` are the tokens that come after its first ones: their log-probabilities are wanted. The prompt's last token has none.

    Its last ``drafts`` tokens are guesses: what is sampled from the row before the first, and from each guess's own, says how many of them
    were right. The next chunk of the sequence is planned when that is known. Where ``tokens`` are fewer than ``count``, the guesses that
    are missing are the executor's to make, by a draft model; it may make fewer.

    ``media`` are the spans of its sequence that begin before its end: the embeddings of those that it computes any part of are there when
    the step begins, and those before it say at which positions it goes on.

    ``resume`` and ``keep`` are snapshots of recurrent state: the one to begin with (None: what the sequence's last chunk left, or
    nothing at its start), and the one to take at the end of the chunk.

    ``adapter`` is the slot of the adapter that it is computed with; 0: none.
    """

    sequence: str
    start: int
    count: int
    tokens: tuple[int, ...] | None  # None: the one token that the step before sampled, whose value is not read yet
    runs: tuple[Run, ...]  # blocks that hold tokens 0 to start + count, run by run
    samples: bool  # its last token's logits are sampled, and those of the tokens before its guesses
    resume: int | None = None
    keep: int | None = None
    targets: tuple[int, ...] = ()
    drafts: int = 0
    windows: tuple[WindowRuns, ...] = ()  # what it has of them in each group of layers that see a window
    media: tuple[MediaSpan, ...] = ()
    adapter: int = 0

    @property
    def open(self) -> int:
        """Returns how many of its guesses are yet to be made."""
        return 0 if self.tokens is None else self.count - len(self.tokens)

    @property
    def sampled_rows(self) -> tuple[SampledRow, ...]:
        """Returns its rows that are sampled, which are its last ones, in order."""
        if not self.samples:
            return ()
        guesses = () if self.tokens is None else self.tokens[self.count - self.drafts :]
        return tuple(SampledRow(self.sequence, guesses[:count]) for count in range(self.drafts + 1))


class Encode(msgspec.Struct, frozen=True):
    """A picture or film that is to be encoded, or on with: for ``seconds`` in this step, if it takes longer. ``input`` is told once, when
    it begins.
    """

    content: bytes
    input: MediaInput | None
    seconds: float


class StepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan holds its chunks in the order of their rows, those of one new token first. A sequence may have several, one after
    the other.

    Blocks are spilled first of all: they may be given to others in this very step, or lie where there is to be memory no more. Then arenas
    are made as large as ``arenas`` says; then what was fetched is written, and then blocks are moved, which may go where something was
    fetched to; all before anything is computed. ``dropped`` snapshots may be let go after it all.

    Pictures are encoded beside that, and no chunk of the plan needs what is encoded by it. Embeddings are kept until their ``content`` is
    in ``unseen``: these are let go before anything else happens.
    """

    chunks: tuple[Chunk, ...] = ()
    spills: tuple[Spill, ...] = ()
    fetches: tuple[Fetch, ...] = ()
    moves: tuple[Move, ...] = ()
    arenas: tuple[Arena, ...] = ()  # there is to be memory for these, and for no others
    window_arenas: tuple[tuple[Arena, ...], ...] = ()  # those of each group of layers that see a window
    dropped: tuple[int, ...] = ()
    released: tuple[str, ...] = ()  # sequences that gave back what they held: their recurrent states may be let go
    encodes: tuple[Encode, ...] = ()
    unseen: tuple[bytes, ...] = ()
    prefill_tokens: int = 0  # of prompts; the rest are the newest tokens of sequences that decode

    @property
    def rows(self) -> int:
        """Returns how many tokens the step computes."""
        return sum(chunk.count for chunk in self.chunks)

    @property
    def drafts(self) -> int:
        """Returns how many of these are guesses."""
        return sum(chunk.drafts for chunk in self.chunks)

    @property
    def drafted(self) -> dict[str, int]:
        """Returns how many guesses there are of each sequence that has any."""
        return {chunk.sequence: chunk.drafts for chunk in self.chunks if chunk.drafts}

    @property
    def shape(self) -> StepShape:
        """Returns what the step is made of, as far as its time depends on it."""
        decode_rows = self.rows - self.prefill_tokens - self.drafts
        prompts = len(self.chunks) - decode_rows
        return StepShape(decode_rows=decode_rows, prompts=prompts, prefill_tokens=self.prefill_tokens, guesses=self.drafts)
