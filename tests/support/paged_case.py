"""A prompt that is computed over paged keys and values by hand: in the chunks, blocks and company that a test chooses."""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from mlxd.worker.encoded_prompt import MediaSpan
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.block_table import Run, WindowRuns


@dataclass(frozen=True)
class PagedCase:
    """``tokens`` of which ``media`` are placeholders, in the blocks of ``runs``."""

    name: str
    tokens: tuple[int, ...]
    media: tuple[MediaSpan, ...]
    runs: tuple[Run, ...]
    windows: int = 0  # groups of layers that see a window

    def chunk(self, start, stop):
        """All of whose logits are asked for: the targets of its rows are whatever."""
        tokens = self.tokens[start:stop]
        media = tuple(span for span in self.media if span.start < stop)
        windows = tuple(WindowRuns(0, self.runs) for _ in range(self.windows))
        return Chunk(
            self.name, start, stop - start, tokens, self.runs, samples=False, targets=(0,) * len(tokens), media=media, windows=windows
        )

    def chunks(self, size, start=0):
        """Of at most so many tokens; a picture whose tokens see each other is in one chunk."""
        while start < len(self.tokens):
            stop = self.whole(min(start + size, len(self.tokens)))
            yield self.chunk(start, stop)
            start = stop

    def whole(self, stop):
        """The first place from ``stop`` on at which a chunk may end."""
        return max([stop, *(span.stop for span in self.media if span.mutual and span.start < stop < span.stop)])


def logits_of(model, *chunks):
    """Of each chunk the logits of its rows, ``[count, vocab]``, computed in one step."""
    tokens = [token for chunk in chunks for token in chunk.tokens]
    found = model.forward(StepPlan(chunks=chunks), mx.array(tokens)).targets
    rows = [logits for one in found for logits in _split(one)]
    mx.eval(rows, *model.tensors())
    return [np.array(one) for one in rows]


def _split(targets):
    counts = [len(chunk.targets) for chunk in targets.chunks]
    return mx.split(targets.rows, np.cumsum(counts)[:-1].tolist())
