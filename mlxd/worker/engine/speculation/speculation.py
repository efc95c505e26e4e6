"""Guesses of the next tokens of sequences: what is guessed, how much of it pays, and what is learned from what came."""

from collections.abc import Collection, Mapping
from collections.abc import Sequence as Tokens
from dataclasses import dataclass

from mlxd.types import Limits, SpeculationKind
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.speculation.acceptance import Acceptance
from mlxd.worker.engine.speculation.choice import Choice, worthwhile
from mlxd.worker.engine.speculation.drafter import Drafter, Guesses, Offer
from mlxd.worker.engine.speculation.lookup_drafter import LookupDrafter
from mlxd.worker.engine.speculation.step_seconds import StepSeconds
from mlxd.worker.engine.step_cost import StepShape

_MOST = 64  # guesses of one step
_LOOKUP = {SpeculationKind.AUTO, SpeculationKind.LOOKUP}
_MODEL = {SpeculationKind.AUTO, SpeculationKind.DRAFT}


@dataclass(frozen=True)
class _Offered:
    """What was offered of a sequence's next tokens, and how likely they are: the chances that the first ones are all right."""

    offer: Offer
    chances: tuple[float, ...]


class Speculation:
    """The guesses of one model: by ``lookup``, and by a draft ``model``, as far as there are any.

    A guess is verified by the row behind it, which samples what the sequence would have got without: text does not depend on guesses.
    """

    def __init__(self, limits: Limits, lookup: LookupDrafter | None = None, model: Drafter | None = None) -> None:
        self.is_awaited = False  # the newest tokens should be read before the next step is planned: guesses behind them may pay
        self._limits = limits
        self._lookup = lookup
        self._model = model
        self._seconds = StepSeconds()
        self._drafting_seconds = StepSeconds()  # of steps in which a model drafts
        self._of_all = Acceptance()
        self._of_one: dict[str, Acceptance] = {}
        self._offered: dict[str, _Offered] = {}  # of the step that is planned or computed
        self._by_model = False  # a model makes guesses of that step

    def reconfigure(self, limits: Limits) -> None:
        """Makes the limits hold from the next step on."""
        self._limits = limits

    def guesses(self, decoding: Collection[Sequence]) -> Mapping[str, Guesses]:
        """Returns what is to be verified beside the newest tokens of ``decoding``, all that get a token in the next step."""
        self._offered, self.is_awaited, self._by_model = {}, False, False
        candidates = [one for one in decoding if most_guesses(one, 1)] if self._guesses_at_all else []
        if not candidates:
            return {}
        choice = self._choice(len(decoding), candidates)
        in_flight = {sequence.id for sequence in candidates if sequence.in_flight}
        self.is_awaited = not in_flight.isdisjoint(choice.wanted)
        wanted = {name: count for name, count in choice.wanted.items() if name not in in_flight}
        self._by_model = any(self._offered[name].offer.is_open for name in wanted)
        return self._guesses(wanted)

    def learn(self, sampled: Mapping[str, Tokens[SampledToken]], drafted: Mapping[str, int]) -> None:
        """Learns from the tokens that came, of which all but the last of a sequence were guessed, of so many that were ``drafted``."""
        for name, tokens in sampled.items():
            offered, own = self._offered.pop(name, None), self._of_one.get(name)
            if offered is None or own is None:
                continue
            known = offered.offer.known
            if known:
                own.observe(offered.offer.kind, min(len(known), len(tokens)), _agreeing(known, tokens))
            elif drafted.get(name):
                own.observe(offered.offer.kind, drafted[name], len(tokens) - 1)

    def observe(self, seconds: float, shape: StepShape) -> None:
        """Learns from a step of this shape what rows take; beside prompts nobody could tell."""
        if not shape.decode_rows or shape.prefill_tokens:
            return
        if not self._by_model:
            self._seconds.observe(seconds, shape.decode_rows, shape.guesses)
        if self._by_model or not shape.guesses:
            self._drafting_seconds.observe(seconds, shape.decode_rows, shape.guesses)

    def close(self, sequence: str) -> None:
        """Forgets a sequence that is over."""
        self._of_one.pop(sequence, None)
        self._offered.pop(sequence, None)
        for drafter in (self._lookup, self._model):
            if drafter is not None:
                drafter.close(sequence)

    @property
    def _guesses_at_all(self) -> bool:
        kind = self._limits.speculation
        return (kind in _LOOKUP and self._lookup is not None) or (kind in _MODEL and self._model is not None)

    def _choice(self, streams: int, candidates: Collection[Sequence]) -> Choice:
        """Returns the best of guessing by look-up alone, and of guessing by a model wherever that promises more."""
        kind, most = self._limits.speculation, self._limits.draft_tokens
        looked_up = self._rated(candidates, self._lookup.offers(candidates, most)) if kind in _LOOKUP and self._lookup else {}
        self._offered, best = looked_up, _best(streams, looked_up, self._seconds)
        if self._model is None or kind not in _MODEL:
            return best
        drafted = self._rated(candidates, self._model.offers(candidates, most))
        mixed = {name: max(one, looked_up.get(name, one), key=_promise) for name, one in drafted.items()}
        other = _best(streams, mixed, self._drafting_seconds)
        if other.rate > best.rate and any(mixed[name].offer.is_open for name in other.wanted):
            self._offered = mixed
            return other
        for name, one in drafted.items():
            self._of_one[name].fade(one.offer.kind)
        return best

    def _rated(self, candidates: Collection[Sequence], offers: Mapping[str, Offer]) -> dict[str, _Offered]:
        rated = {}
        for sequence in candidates:
            offer, acceptance = offers.get(sequence.id), self._of_one.get(sequence.id)
            if acceptance is None:
                acceptance = self._of_one[sequence.id] = Acceptance(self._of_all)
            if offer is not None:
                first, later = acceptance.first(offer.kind), acceptance.later(offer.kind)
                rated[sequence.id] = _Offered(offer, tuple(first * later**at for at in range(most_guesses(sequence, offer.most))))
        return rated

    def _guesses(self, wanted: Mapping[str, int]) -> dict[str, Guesses]:
        guesses = {name: Guesses(count) for name, count in wanted.items()}
        known = {name: count for name, count in wanted.items() if not self._offered[name].offer.is_open}
        found = self._lookup.guess(known) if self._lookup is not None else {}
        return guesses | {name: Guesses(len(tokens), tokens) for name, tokens in found.items()}


def most_guesses(sequence: Sequence, most: int) -> int:
    """Returns how many guesses of a sequence could be of use: with the token that comes in any case, no more than it may still get."""
    return max(0, min(most, sequence.request.max_tokens - sequence.generated - 1))


def _best(streams: int, offered: Mapping[str, _Offered], seconds: StepSeconds) -> Choice:
    chances = {name: one.chances for name, one in offered.items()}
    return worthwhile(streams, chances, seconds.curve(streams, min(_MOST, seconds.most, sum(map(len, chances.values())))))


def _promise(offered: _Offered) -> float:
    return sum(offered.chances)


def _agreeing(known: Tokens[int], tokens: Tokens[SampledToken]) -> int:
    """Returns how many of the tokens were known, from the first on."""
    pairs = zip(known, tokens, strict=False)
    return next((at for at, (guess, token) in enumerate(pairs) if guess != token.id), min(len(known), len(tokens)))
