"""A text that does not grow, such as a prompt, with the places of its short runs: several answers may look them up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Self

import numpy as np
import numpy.typing as npt

from mlxd.worker.engine.speculation.ngrams import LONGEST

_TOKEN_BITS = 21  # of a run's name, for each of its tokens: three fit 64 bits
_MOST = 2**63 - 1


@dataclass(frozen=True)
class _Runs:
    """The runs of one length: ``names`` in rising order, and the place behind the newest occurrence of each."""

    names: npt.NDArray[np.int64]
    places: npt.NDArray[np.int32]

    @classmethod
    def of(cls, text: npt.NDArray[np.int64], size: int) -> Self:
        stop = max(size, len(text)) - size  # the last run has nothing behind it
        names = text[:stop]
        for at in range(1, size):
            names = (names << _TOKEN_BITS | text[at : at + stop]) & _MOST
        order = np.argsort(names, kind="stable")
        ordered = names[order]
        newest = np.ones(stop, np.bool_)
        newest[:-1] = ordered[1:] != ordered[:-1]
        return cls(ordered[newest], (order[newest] + size).astype(np.int32))


@dataclass(frozen=True, eq=False)
class IndexedText:
    """The tokens of a text and its runs of up to three. A waiting prompt's take no more than 36 bytes for each token."""

    tokens: Sequence[int]
    _runs: tuple[_Runs, ...] = field(repr=False)

    @classmethod
    def of(cls, tokens: Sequence[int]) -> Self:
        """Returns ``tokens`` with their runs. It takes less than a microsecond for each, and mostly lets other threads go on."""
        text = np.array(tokens, np.int64)
        return cls(tokens, tuple(_Runs.of(text, size) for size in range(1, LONGEST + 1)))

    def find(self, run: tuple[int, ...]) -> int | None:
        """Returns the place behind the newest occurrence of ``run``, where something follows; None where there is none."""
        runs, name = self._runs[len(run) - 1], reduce(lambda before, token: (before << _TOKEN_BITS | token) & _MOST, run)
        at = int(np.searchsorted(runs.names, name))
        return int(runs.places[at]) if at < len(runs.names) and runs.names[at] == name else None
