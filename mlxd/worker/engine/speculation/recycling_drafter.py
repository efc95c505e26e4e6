"""Guesses by what the model read and said of late, also to others: what came last behind the newest tokens, token by token."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from typing_extensions import override

from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.speculation.drafter import Drafter, Offer
from mlxd.worker.engine.speculation.successors import LONGEST, Successors

_ROOTS = 8  # of which anything is known: the ones used last
_READ = 256  # newest tokens of a prompt that are entered: the engine thread does it
_MOST = 6  # guesses of one sequence: further ahead hardly any is right
_OF_STEP = 32  # guesses of all sequences: more are not worth the time to look them up


@dataclass
class _Reader:
    """One sequence: ``entered`` of its tokens are, in what is known of its root."""

    successors: Successors
    entered: int


class RecyclingDrafter(Drafter):
    """A drafter that remembers across requests. Those that share nothing in the prefix cache share nothing here: each root has tables of
    its own.
    """

    def __init__(self) -> None:
        self._successors: OrderedDict[CacheRoot, Successors] = OrderedDict()
        self._readers: dict[str, _Reader] = {}

    @override
    def offers(self, sequences: Collection[Sequence], most: int) -> Mapping[str, Offer]:
        most = min(most, _MOST, max(1, _OF_STEP // max(1, len(sequences))))
        return {sequence.id: offer for sequence in sequences if (offer := self._offer(sequence, most)) is not None}

    @override
    def close(self, sequence: str) -> None:
        self._readers.pop(sequence, None)

    def _offer(self, sequence: Sequence, most: int) -> Offer | None:
        reader, tokens = self._readers.get(sequence.id) or self._begin(sequence), sequence.tokens
        reader.successors.enter(tokens, reader.entered)
        reader.entered = len(tokens)
        chain, kinds = tokens[-LONGEST:], list[str]()
        while len(kinds) < most and (found := reader.successors.behind(chain)) is not None:
            chain.append(found.token)
            kinds.append(f"recycled-{found.size}-{found.sure}")
        return Offer(tuple(kinds), tuple(chain[-len(kinds) :])) if kinds else None

    def _begin(self, sequence: Sequence) -> _Reader:
        root = sequence.request.prompt.root
        if root not in self._successors:
            self._successors[root] = Successors()
        successors = self._successors[root]
        self._successors.move_to_end(root)
        if len(self._successors) > _ROOTS:
            self._successors.popitem(last=False)
        reader = self._readers[sequence.id] = _Reader(successors, max(0, len(sequence.request.tokens) - _READ))
        return reader
