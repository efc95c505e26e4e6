"""What filters leave to draw from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from mlxd.worker.runtime.sampling.fused import fused


@dataclass(frozen=True)
class Remaining:
    """The rows at ``places`` of a batch: ``logits`` ``[S, N]`` of the tokens ``ids`` ``[S, N]``, or without ids of the whole vocabulary.
    Minus infinity is what filters took away.
    """

    places: tuple[int, ...]
    logits: mx.array
    ids: mx.array | None = None

    def among(self, places: Sequence[int]) -> "Remaining":
        """Returns these as rows of a larger batch, of which the one that was filtered are those at ``places``."""
        return replace(self, places=tuple(places[at] for at in self.places))

    def draw(self, keys: mx.array, vocab: int) -> mx.array:
        """Returns a token of each row, ``[S]``, by its own of ``keys`` ``[S, 2]``. Each token of the vocabulary has its own noise, whatever
        else remains: so it does not matter how the others were taken away. Few logarithms are taken where few tokens remain, which is
        most of the time on a CPU.
        """
        if self.ids is None:
            return _drawn(self.logits, keys)
        noise = mx.vmap(lambda key: mx.random.uniform(shape=(vocab,), key=key))(keys)
        gumbel = -mx.log(-mx.log(mx.take_along_axis(noise, self.ids, axis=-1)))
        best = mx.argmax(self.logits + gumbel, axis=-1, keepdims=True)
        return mx.take_along_axis(self.ids, best, axis=-1)[:, 0]


def drawn(remaining: Sequence[Remaining], keys: mx.array, vocab: int) -> mx.array:
    """Returns a token of each row of a batch, ``[B]``, each of which is in one of ``remaining``."""
    if len(remaining) == 1:
        return remaining[0].draw(keys, vocab)
    tokens = mx.zeros((keys.shape[0],), mx.uint32)
    for one in remaining:
        places = mx.array(one.places)
        tokens[places] = one.draw(keys[places], vocab)
    return tokens


@fused
def _drawn(logits: mx.array, keys: mx.array) -> mx.array:
    return mx.vmap(lambda row, key: mx.random.categorical(row, key=key))(logits, keys)
