"""Guesses of the next tokens of sequences: what is guessed, how much of it pays, and what is learned from what came."""

from collections.abc import Collection, Mapping
from collections.abc import Sequence as Tokens
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from operator import mul

from mlxd.types import Limits, SpeculationKind
from mlxd.worker.engine.executor import Drafting
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.speculation.acceptance import Acceptance
from mlxd.worker.engine.speculation.choice import Choice, worthwhile
from mlxd.worker.engine.speculation.draft_calls import DraftCalls, Rounds
from mlxd.worker.engine.speculation.drafter import Drafter, Guesses, Offer
from mlxd.worker.engine.speculation.model_drafter import ModelDrafter
from mlxd.worker.engine.speculation.step_seconds import StepSeconds
from mlxd.worker.engine.step_cost import StepShape

_MOST = 64  # guesses of one step
_SHORTEST = 1e-6  # seconds: no step takes less, whatever clocks say
_MEASURE_EVERY, _MEASURE_OFTEN = 64, 12  # steps with guesses, and one has none: else nobody would know what that takes
_WORTH = 1.04  # times as many tokens as without a model: less is not worth the risk that what is known is wrong
_CLEAR = 1.3  # times as many tokens as without: then they need not be doubted so often
_LOOKUP = {SpeculationKind.AUTO, SpeculationKind.LOOKUP}
_MODEL = {SpeculationKind.AUTO, SpeculationKind.DRAFT}


@dataclass(frozen=True)
class _Offered:
    """What was offered of a sequence's next tokens, and how likely they are: the chances that the first ones are all right."""

    offer: Offer
    chances: tuple[float, ...]


class Speculation:
    """The guesses of one model: by ``lookups``, whose offers are never open, and by a draft ``model``, as far as there are any.

    A guess is verified by the row behind it, which samples what the sequence would have got without: text does not depend on guesses.
    """

    def __init__(self, limits: Limits, lookups: Tokens[Drafter] = (), model: ModelDrafter | None = None) -> None:
        self.is_awaited = False  # the newest tokens should be read before the next step is planned: guesses behind them may pay
        self._limits = limits
        self._lookups = lookups
        self._model = model
        self._seconds = StepSeconds()
        self._unmeasured = 0  # steps with guesses since the last one without
        self._of_all = Acceptance()
        self._of_one: dict[str, Acceptance] = {}
        self._offered: dict[str, _Offered] = {}  # of the step that is planned or computed: the best of each sequence
        self._known: dict[str, list[Offer]] = {}  # and all that are not open

    def reconfigure(self, limits: Limits) -> None:
        """Makes the limits hold from the next step on."""
        self._limits = limits

    def guesses(self, decoding: Collection[Sequence]) -> Mapping[str, Guesses]:
        """Returns what is to be verified beside the newest tokens of ``decoding``, all that get a token in the next step."""
        self._offered, self._known, self.is_awaited = {}, {}, False
        candidates = [one for one in decoding if most_guesses(one, 1)] if self._guesses_at_all else []
        if not candidates:
            return {}
        choice = self._choice(len(decoding), candidates)
        if self._is_doubtful(len(decoding), choice):
            return {}
        in_flight = {sequence.id for sequence in candidates if sequence.in_flight}
        self.is_awaited = not in_flight.isdisjoint(choice.wanted)
        return self._guesses({name: count for name, count in choice.wanted.items() if name not in in_flight})

    def learn(self, sampled: Mapping[str, Tokens[SampledToken]], drafted: Mapping[str, int]) -> None:
        """Learns from the tokens that came, of which all but the last of a sequence were guessed, of so many that were ``drafted``."""
        for name, tokens in sampled.items():
            best, known, own = self._offered.pop(name, None), self._known.pop(name, ()), self._of_one.get(name)
            if own is None:
                continue
            for offer in known:
                own.observe(offer.kinds[: len(tokens)], _agreeing(offer.tokens or (), tokens))
            if best is not None and best.offer.is_open and drafted.get(name):
                own.observe(best.offer.kinds[: drafted[name]], len(tokens) - 1)

    def observe(self, seconds: float, shape: StepShape, drafting: Drafting | None = None) -> None:
        """Learns from a step of this shape what rows take, and what guesses do; beside prompts nobody could tell."""
        if not shape.decode_rows or shape.prefill_tokens:
            return
        making = drafting.seconds if drafting else 0.0
        self._seconds.observe(max(_SHORTEST, seconds - making), shape.decode_rows, shape.guesses)
        self._unmeasured = self._unmeasured + 1 if shape.guesses else 0
        if drafting is not None and drafting.rows and self._model is not None:
            self._model.calls.observe(drafting, self._seconds.curve(shape.decode_rows, 0)[0])

    def close(self, sequence: str) -> None:
        """Forgets a sequence that is over."""
        self._of_one.pop(sequence, None)
        self._offered.pop(sequence, None)
        self._known.pop(sequence, None)
        for drafter in (*self._lookups, *([self._model] if self._model else [])):
            drafter.close(sequence)

    @property
    def _guesses_at_all(self) -> bool:
        kind = self._limits.speculation
        return (kind in _LOOKUP and bool(self._lookups)) or (kind in _MODEL and self._model is not None)

    def _choice(self, streams: int, candidates: Collection[Sequence]) -> Choice:
        """Returns the best of guessing by look-up alone, and of guessing by a model wherever that promises more."""
        kind, most = self._limits.speculation, self._limits.draft_tokens
        looked_up = self._looked_up(candidates, most) if kind in _LOOKUP else {}
        self._offered, best = looked_up, _best(streams, looked_up, self._seconds)
        if self._model is None or kind not in _MODEL:
            return best
        drafted = self._rated(candidates, self._model.offers(candidates, most))
        price = self._model.calls.of(streams)
        mixed = {name: max(one, looked_up.get(name, one), key=partial(_promise, price=price)) for name, one in drafted.items()}
        other = _best(streams, mixed, self._seconds, self._model.calls)
        if other.rate > _WORTH * best.rate and any(mixed[name].offer.is_open for name in other.wanted):
            self._offered = mixed
            self._fade({name: one for name, one in drafted.items() if name not in other.wanted})
            return other
        self._model.calls.fade()
        self._fade(drafted)
        return best

    def _looked_up(self, candidates: Collection[Sequence], most: int) -> dict[str, _Offered]:
        """Returns of each sequence the offer that promises the most."""
        found: dict[str, _Offered] = {}
        for drafter in self._lookups:
            for name, one in self._rated(candidates, drafter.offers(candidates, most)).items():
                self._known.setdefault(name, []).append(one.offer)
                found[name] = max(found.get(name, one), one, key=_promise)
        return found

    def _is_doubtful(self, streams: int, choice: Choice) -> bool:
        """Tells whether nobody has seen for long what a step takes without guesses, compared with how much these seem to gain: then it is
        time for one.
        """
        alone = streams / self._seconds.curve(streams, 0)[0]
        return self._unmeasured >= (_MEASURE_EVERY if choice.rate > _CLEAR * alone else _MEASURE_OFTEN)

    def _fade(self, untried: Mapping[str, _Offered]) -> None:
        for name, one in untried.items():
            self._of_one[name].fade(one.offer.kinds[0])

    def _rated(self, candidates: Collection[Sequence], offers: Mapping[str, Offer]) -> dict[str, _Offered]:
        rated = {}
        for sequence in candidates:
            offer, acceptance = offers.get(sequence.id), self._of_one.get(sequence.id)
            if acceptance is None:
                acceptance = self._of_one[sequence.id] = Acceptance(self._of_all)
            if offer is not None:
                kinds = offer.kinds[: most_guesses(sequence, len(offer.kinds))]
                rated[sequence.id] = _Offered(offer, tuple(accumulate(map(acceptance.chance, kinds), mul)))
        return rated

    def _guesses(self, wanted: Mapping[str, int]) -> dict[str, Guesses]:
        return {name: Guesses(count, (self._offered[name].offer.tokens or ())[:count]) for name, count in wanted.items()}


def most_guesses(sequence: Sequence, most: int) -> int:
    """Returns how many guesses of a sequence could be of use: with the token that comes in any case, no more than it may still get."""
    return max(0, min(most, sequence.request.max_tokens - sequence.generated - 1))


def _best(streams: int, offered: Mapping[str, _Offered], seconds: StepSeconds, calls: DraftCalls | None = None) -> Choice:
    chances = {name: one.chances for name, one in offered.items()}
    known = seconds.most if calls is None else max(seconds.most, streams)  # a call for one stream alone would be too dear to be tried
    curve = seconds.curve(streams, min(_MOST, known, sum(map(len, chances.values()))))
    if calls is None:
        return worthwhile(streams, chances, curve)
    rounds = Rounds({name for name, one in offered.items() if one.offer.is_open}, lambda rows: calls.of(rows) * curve[0])
    return worthwhile(streams, chances, curve, rounds.add)


def _promise(offered: _Offered, price: float = 0.0) -> float:
    """Returns how many tokens are to be expected, less those that the device would give in the time that guesses of a model take: for each
    of them it is ``price`` tokens.
    """
    return sum(max(0.0, chance - (price if offered.offer.is_open else 0.0)) for chance in offered.chances)


def _agreeing(known: Tokens[int], tokens: Tokens[SampledToken]) -> int:
    """Returns how many of the tokens were known, from the first on."""
    pairs = zip(known, tokens, strict=False)
    return next((at for at, (guess, token) in enumerate(pairs) if guess != token.id), min(len(known), len(tokens)))
