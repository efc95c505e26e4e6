"""Texts of different lengths as one array: padded at their ends, with what hides the padding."""

from collections.abc import Sequence

import mlx.core as mx

from mlxd.worker.encoded_input import EncodedInput


class PaddedBatch:
    """A batch: ``tokens`` is ``[rows, length]``, filled up with 0, and ``lengths`` are how many tokens of each row are there."""

    def __init__(self, inputs: Sequence[EncodedInput]) -> None:
        """Raises ``ValueError`` for an input without tokens."""
        sizes = [len(one.tokens) for one in inputs]
        if not sizes or min(sizes) < 1:
            raise ValueError("a batch has texts, and each of them a token")
        self._inputs = inputs
        self.length = max(sizes)
        self.is_even = min(sizes) == self.length
        self.tokens = mx.array([one.tokens + [0] * (self.length - len(one.tokens)) for one in inputs])
        self.lengths = mx.array(sizes)

    @property
    def real(self) -> mx.array:
        """Returns which tokens are there, ``[rows, length]`` of booleans."""
        return mx.arange(self.length)[None] < self.lengths[:, None]

    @property
    def second(self) -> mx.array:
        """Returns 1 where a token is of a pair's second text, else 0: ``[rows, length]``."""
        begins = mx.array([one.second or self.length for one in self._inputs])
        return (mx.arange(self.length)[None] >= begins[:, None]).astype(mx.int32)

    @property
    def prompts(self) -> mx.array:
        """Returns how many tokens of each row are a prompt of the model's, ``[rows]``."""
        return mx.array([one.prompt for one in self._inputs])

    @property
    def last(self) -> mx.array:
        """Returns the place of each row's last token, ``[rows]``."""
        return self.lengths - 1

    def of_last(self, hidden: mx.array) -> mx.array:
        """Returns the vector of each row's last token, ``[rows, width]`` of ``[rows, length, width]``."""
        return mx.take_along_axis(hidden, self.last[:, None, None], axis=1)[:, 0]

    def mask(self, window: int | None = None) -> mx.array | None:
        """Returns what queries see, ``[rows or 1, 1, length or 1, length]`` of booleans; None: everything.

        With a ``window``, they see no further than so many tokens to either side.
        """
        seen = None if self.is_even else self.real[:, None, None, :]
        if window is None or window >= self.length - 1:
            return seen
        places = mx.arange(self.length)
        # Two comparisons, for a difference would have four bytes a pair: of 8,192 tokens, three times as much as all else of the mask.
        near = ((places[:, None] <= places[None] + window) & (places[:, None] >= places[None] - window))[None, None]
        # A padding token that sees nothing has no softmax, and would spoil its row's sums: what is beyond the window is no real token's.
        return near if seen is None else (near & seen) | mx.eye(self.length, dtype=mx.bool_)[None, None]
