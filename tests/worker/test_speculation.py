"""Guesses on real MLX: whatever is guessed, everybody's tokens equal what they get without, alone or in company."""

import random
from functools import cache

import pytest

from mlxd.types import Limits, SpeculationKind, Stopping
from mlxd.worker.engine.speculation.drafter import Guesses
from mlxd.worker.engine.speculation.lookup_drafter import LookupDrafter
from mlxd.worker.engine.speculation.recycling_drafter import RecyclingDrafter
from mlxd.worker.engine.speculation.speculation import Speculation, most_guesses
from tests.worker.runner_rig import NEVER_ENDS, PagedRig, architecture, words
from tests.worker.token_rules import Digits

MODELS = ["llama", "gemma3_text", "gpt_oss"]
COUNT = 18
REPEATED = list(b"one two three one two three one two three one two")


class Told(Speculation):
    """Guesses that are right up to a random place, by the answers that were given without any."""

    def __init__(self, answers, seed=0):
        super().__init__(Limits())
        self.answers, self.chance = answers, random.Random(seed)  # noqa: S311

    def guesses(self, decoding):
        self.is_awaited = self.chance.random() < 0.7
        found = {}
        for sequence in decoding:
            count = most_guesses(sequence, self.chance.choice([0, 1, 3, 5]))
            coming = self.answers[sequence.id][sequence.generated :][:count]
            if coming and not sequence.in_flight:
                right = self.chance.randint(0, len(coming))
                tokens = tuple(token if at < right else self.chance.randrange(250) for at, token in enumerate(coming))
                found[sequence.id] = Guesses(len(tokens), tokens)
        return found


def looking_up(**limits):
    return Speculation(Limits(speculation=SpeculationKind.LOOKUP, **limits), [LookupDrafter(), RecyclingDrafter()])


@pytest.fixture(scope="module")
def made():
    return cache(architecture)


ASKS = {
    "greedy": {"prompt": REPEATED},
    "again": {"prompt": REPEATED},
    "sampled": {"prompt": REPEATED, "temperature": 0.9, "seed": 5, "top_p": 0.9},
    "hot": {"prompt": words(1, 30), "temperature": 1.5, "seed": 6, "top_k": 40},
    "penalised": {"prompt": REPEATED, "repetition_penalty": 1.3, "frequency_penalty": 0.4, "presence_penalty": 0.2},
    "scored": {"prompt": words(2, 12), "asks": {"logprobs": 2}},
    "short": {"prompt": REPEATED, "max_tokens": 3},
    "one": {"prompt": REPEATED, "max_tokens": 1},
    "late end": {"prompt": REPEATED, "asks": {"stopping": Stopping(min_tokens=9)}, "logit_bias": {}},
    "echoed": {"prompt": words(3, 9), "asks": {"logprobs": 1, "prompt_logprobs": True}},
}
UNECHOED = {name: ask for name, ask in ASKS.items() if name != "echoed"}
ALONE = {"a": {"prompt": REPEATED}}
CROWD = {f"{name} {at}": {**ask, "prompt": words(at, 20)} for at in range(2) for name, ask in UNECHOED.items()}
RULES = ("abc", "xyz")


def play(loaded, asks=ASKS, rules=(), **options):
    rig = PagedRig(loaded, **options)
    for name, ask in asks.items():
        options = {"logit_bias": NEVER_ENDS, "max_tokens": COUNT} | ask
        rig.add(name, options.pop("prompt"), **options)
    for name in rules:
        rig.add(name, list(name.encode()), max_tokens=COUNT, asks={"constraint": Digits(letters=name.encode())}, logit_bias={})
    rig.run()
    assert not rig.failed
    return rig


@pytest.fixture(scope="module")
def without(made):
    """What everybody gets without guesses, played once."""
    kinds = {"all": (ASKS, RULES), "unechoed": (UNECHOED, ()), "alone": (ALONE, ()), "crowd": (CROWD, ())}
    return cache(lambda name, kind: play(made(name), *kinds[kind]))


def guessed(rig):
    events = [event for report in rig.reports for event in report.sampled]
    return sum(event.accepted + event.rejected for event in events), sum(event.accepted for event in events)


@pytest.mark.parametrize(("name", "ahead"), [*((name, True) for name in MODELS), ("llama", False)])
def test_everybody_gets_what_they_get_without_guesses(made, without, name, ahead):
    loaded, without = made(name), without(name, "all")
    rig = play(loaded, rules=RULES, ahead=ahead, speculation=Told(without.tokens))
    assert rig.tokens == without.tokens
    assert rig.ended == without.ended
    drafted, accepted = guessed(rig)
    assert drafted > accepted > 50
    for scored in ("scored", "echoed"):
        for one, other in zip(rig.sampled[scored], without.sampled[scored], strict=True):
            assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
            assert [top.id for top in one.top] == [top.id for top in other.top]


@pytest.mark.parametrize("ahead", [False, True])
def test_in_a_full_pool_where_some_are_preempted(made, without, ahead):
    loaded, without = made("llama"), without("llama", "crowd")
    rig = play(loaded, CROWD, ahead=ahead, speculation=Told(without.tokens, seed=1), arena_blocks=12, max_arenas=2)
    assert rig.preemptions > 0
    assert rig.tokens == without.tokens
    assert guessed(rig)[1] > 50
    assert rig.manager.counts().used == 0


def test_a_token_that_ends_the_answer_ends_it_within_right_guesses(made, without):
    loaded = made("llama")
    free = without("llama", "alone").tokens["a"]
    ends = {"a": {"prompt": REPEATED, "asks": {"stopping": Stopping(token_ids=[free[6]])}}}
    without = play(loaded, ends)
    for seed in range(4):
        rig = play(loaded, ends, speculation=Told({"a": free}, seed))
        assert (rig.tokens, rig.ended) == (without.tokens, without.ended)


@pytest.mark.parametrize("ahead", [False, True])
def test_what_was_guessed_wrongly_is_never_found_by_others(made, without, ahead):
    """The next turn finds the answer's blocks, and goes on as if it had computed them."""
    loaded, without = made("llama"), without("llama", "alone")
    rig = PagedRig(loaded, ahead=ahead, speculation=Told({"a": without.tokens["a"], "b": []}, seed=3))
    rig.ask(REPEATED, "a", max_tokens=COUNT)
    turn = [*REPEATED, *without.tokens["a"], *words(4, 5)]
    tokens, started = rig.ask(turn, "b")
    assert started.cached_tokens >= (len(REPEATED) + COUNT - 1) // 4 * 4 - 4
    assert tokens == PagedRig(loaded).ask(turn)[0]


@pytest.mark.parametrize("ahead", [False, True])
def test_look_up_guesses_what_repeats_and_changes_nothing(made, without, ahead):
    loaded, without = made("llama"), without("llama", "unechoed")
    rig = play(loaded, UNECHOED, ahead=ahead, speculation=looking_up(draft_tokens=4))
    assert rig.tokens == without.tokens


def test_a_request_that_is_aborted_among_its_guesses_leaves_nothing(made, without):
    loaded = made("llama")
    answer = without("llama", "alone").tokens["a"]
    rig = PagedRig(loaded, ahead=True, speculation=Told({"a": answer}))
    rig.add("a", REPEATED, max_tokens=COUNT)
    for _ in range(5):
        rig.step()
    rig.runner.abort("a")
    rig.run()
    assert rig.manager.counts().used == 0
