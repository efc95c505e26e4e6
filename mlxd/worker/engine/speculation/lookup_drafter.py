"""Guesses by prompt look-up: what followed the newest tokens where they occurred before, in prompt, answer or a prediction of it."""

from collections.abc import Collection, Mapping
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

from typing_extensions import override

from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.speculation.drafter import Drafter, Offer
from mlxd.worker.engine.speculation.indexed_text import IndexedText
from mlxd.worker.engine.speculation.ngrams import LONGEST, Ngrams

_UNINDEXED = 2048  # newest tokens of a prompt without an index that are looked up all the same: they are entered by the engine thread
_FARTHEST = 16  # tokens that are compared backwards: the longer two places agree, the more likely they go on alike


@dataclass(frozen=True)
class _Place:
    """A place ``at`` of ``text``, before which ``agreeing`` tokens are the newest ones of a sequence."""

    text: Tokens[int]
    at: int
    agreeing: int

    def offer(self, most: int) -> Offer:
        """Returns what comes there. Places that agree in about as many tokens go on alike about as often."""
        tokens = tuple(self.text[self.at : self.at + most])
        kind = f"lookup-{self.agreeing if self.agreeing <= LONGEST else 1 << (self.agreeing.bit_length() - 1)}"
        return Offer((kind, *[f"{kind} on"] * (len(tokens) - 1)), tokens)


@dataclass(frozen=True)
class _Trail:
    """Where a text goes on as the sequence grows: the place for its token ``n`` is ``n - behind``."""

    text: Tokens[int]
    behind: int


@dataclass
class _Known:
    """What is known of one sequence: the runs of its answer, and where the guesses to come would go on."""

    ngrams: Ngrams = field(default_factory=Ngrams)
    trail: _Trail | None = None


class LookupDrafter(Drafter):
    """A drafter that knows nothing of the model. Runs of the prompt are entered where it is encoded, those of the answer as it grows."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    @override
    def offers(self, sequences: Collection[Sequence], most: int) -> Mapping[str, Offer]:
        offers = {}
        for sequence in sequences:
            known = self._known.get(sequence.id) or self._begin(sequence)
            known.ngrams.enter(sequence.tokens, len(sequence.tokens))
            place = max(_places(sequence, known), key=lambda one: one.agreeing, default=None)
            if place is not None:
                known.trail = _Trail(place.text, len(sequence.tokens) - place.at)
                offers[sequence.id] = place.offer(most)
        return offers

    @override
    def close(self, sequence: str) -> None:
        self._known.pop(sequence, None)

    def _begin(self, sequence: Sequence) -> _Known:
        """Begins with a sequence, whose answer is thought to begin as it is predicted."""
        known = self._known[sequence.id] = _Known()
        prompt = len(sequence.request.tokens)
        known.ngrams.skip(prompt if sequence.request.looked_up else max(0, prompt - _UNINDEXED))
        if sequence.request.predicted:
            known.trail = _Trail(sequence.request.predicted.tokens, prompt)
        return known


def _places(sequence: Sequence, known: _Known) -> list[_Place]:
    """Returns where the newest tokens occurred: where the guesses before would go on, and the newest occurrences of the longest run."""
    tokens, request = sequence.tokens, sequence.request
    on = [] if known.trail is None else _place(known.trail.text, len(tokens) - known.trail.behind, tokens)
    texts: list[tuple[Ngrams | IndexedText, Tokens[int]]] = [(known.ngrams, tokens)]
    texts += [(one, one.tokens) for one in (request.predicted, request.looked_up) if one]
    for size in range(min(LONGEST, len(tokens)), 0, -1):
        run = tuple(tokens[-size:])
        found = [place for runs, text in texts if (at := runs.find(run)) for place in _place(text, at, tokens)]
        if found:
            return on + found
    return on


def _place(text: Tokens[int], at: int, tokens: Tokens[int]) -> list[_Place]:
    """Returns the place, unless nothing follows there, or the token before it is not the newest one."""
    most = min(_FARTHEST, at, len(tokens)) if at < len(text) else 0
    agreeing = next((back for back in range(most) if text[at - 1 - back] != tokens[-1 - back]), most)
    return [_Place(text, at, agreeing)] if agreeing else []
