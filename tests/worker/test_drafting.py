"""A draft model beside the model it drafts for, on the paged runner: nobody's text depends on what is guessed, nor by whom."""

import random
from functools import cache

import msgspec
import pytest

from mlxd.types import Limits, SpeculationKind
from mlxd.worker.engine.speculation.drafter import Guesses
from mlxd.worker.engine.speculation.lookup_drafter import LookupDrafter
from mlxd.worker.engine.speculation.model_drafter import ModelDrafter
from mlxd.worker.engine.speculation.speculation import Speculation, most_guesses
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.paged.build import proved_model
from mlxd.worker.runtime.sampling.scores import LEAST
from tests.worker import runner_rig
from tests.worker.runner_rig import PagedRig, architecture, words

BLOCK = 4
SYSTEM = list(b"You are a helpful assistant, and you answer at length, whatever you are asked, by day and by night.")
SAMPLING = {"temperature": 0.9, "top_p": 0.95, "seed": 7}


class Drafting(Speculation):
    """Guesses are the draft model's, as many of each sequence as chance has it; ``counts`` are what it has."""

    def __init__(self, counts):
        super().__init__(Limits())
        self.chance = random.Random(5)  # noqa: S311 - no secret
        self.counts = counts
        self.drafted = self.accepted = 0

    def guesses(self, decoding):
        wanted = {one.id: min(self.chance.choice(self.counts), most_guesses(one, 9)) for one in decoding}
        in_flight = {one.id for one in decoding if one.in_flight}
        self.is_awaited = any(wanted[name] for name in in_flight)
        return {name: Guesses(count) for name, count in wanted.items() if count and name not in in_flight}

    def learn(self, sampled, drafted):
        for name, count in drafted.items():
            self.drafted += count
            self.accepted += len(sampled.get(name, [None])) - 1


@pytest.fixture(scope="module")
def loaded():
    return architecture("llama")


@pytest.fixture(scope="module")
def plain(loaded):
    """The greedy tokens of the model alone."""
    return cache(lambda prompt, count: runner_rig.plain(loaded, prompt, count))


@pytest.fixture(scope="module")
def drafts():
    """A draft model by its name, made once; "llama" has the weights of the model it drafts for."""
    return cache(lambda name: DraftModel(drafting := architecture(name), proved_model(drafting, BLOCK)))


def rig(loaded, draft, counts=(0, 1, 2, 5), **options):
    draft.clear()
    return PagedRig(loaded, draft=draft, speculation=Drafting(counts), **options)


def drafting_of(made):
    return made.runner._scheduler._speculation


@pytest.mark.parametrize(("draft", "ahead"), [*((name, True) for name in ("llama", "gemma3_text", "plamo")), ("qwen3", False)])
def test_a_mixed_batch_with_joins_shared_beginnings_and_aborts(loaded, drafts, plain, draft, ahead):
    made = rig(loaded, drafts(draft), ahead=ahead)
    prompts = {
        "a": b"once upon a time",
        "b": bytes(SYSTEM) + b"Who?",
        "c": b"x",
        "d": bytes(SYSTEM) + b"Why, oh why?",
        "e": bytes(SYSTEM),
        "f": b"gone" * 9,
    }
    for name in ("a", "b", "f"):
        made.add(name, prompts[name], max_tokens=20)
    for _ in range(3):
        made.step()
    for name in ("c", "d"):
        made.add(name, prompts[name], max_tokens=20)
    for _ in range(3):
        made.step()
    made.runner.abort("f")
    made.add("e", prompts["e"], max_tokens=20)
    made.run()
    assert {name: made.tokens[name] for name in "abcde"} == {name: plain(prompts[name], 20) for name in "abcde"}
    assert made.started["e"].cached_tokens > 0
    assert made.manager.counts().used == 0
    assert drafting_of(made).drafted > 0


@pytest.mark.parametrize("ahead", [False, True])
def test_with_the_same_weights_every_guess_is_right(loaded, drafts, plain, ahead):
    made = rig(loaded, drafts("llama"), counts=(4,), ahead=ahead)
    prompts = {name: b"story number " + name.encode() for name in "abc"}
    for name, prompt in prompts.items():
        made.add(name, prompt, max_tokens=21)
    made.run()
    assert made.tokens == {name: plain(prompt, 21) for name, prompt in prompts.items()}
    drafting = drafting_of(made)
    assert drafting.accepted == drafting.drafted >= 3 * 14  # one ahead, a second token is on its way when the first is read
    assert len([report for report in made.reports if report.sampled]) <= 9


@pytest.mark.parametrize("draft", ["llama", "qwen3"])
def test_sampled_text_is_the_same_with_guesses_and_without(loaded, drafts, draft):
    prompts = {name: b"dice number " + name.encode() for name in "abcd"}
    said = []
    for made in (PagedRig(loaded), rig(loaded, drafts(draft))):
        for name, prompt in prompts.items():
            made.add(name, prompt, max_tokens=20, **SAMPLING | {"seed": ord(name)})
        made.run()
        said.append(made.tokens)
    assert said[0] == said[1]
    if draft == "llama":
        drafting = drafting_of(made)
        assert drafting.accepted == drafting.drafted > 0


@pytest.mark.parametrize(("kind", "ahead"), [(SpeculationKind.AUTO, True), (SpeculationKind.DRAFT, True), (SpeculationKind.DRAFT, False)])
def test_whatever_pays_is_chosen_the_text_is_the_same(loaded, drafts, plain, kind, ahead):
    """With the real choice, which goes by the clock; so only the text is certain."""
    draft = drafts("llama")
    draft.clear()
    speculation = Speculation(Limits(), [LookupDrafter()], ModelDrafter(0.05))
    made = PagedRig(loaded, draft=draft, speculation=speculation, ahead=ahead)
    made.runner.reconfigure(msgspec.structs.replace(made.limits, speculation=kind))
    prompts = {"a": b"once upon a time", "b": b"again and again and again and again", "c": bytes(SYSTEM)}
    for name, prompt in prompts.items():
        made.add(name, prompt, max_tokens=40)
        made.step()
    made.run()
    assert made.tokens == {name: plain(prompt, 40) for name, prompt in prompts.items()}
    assert sum(one.accepted + one.rejected for report in made.reports for one in report.sampled) > 0


def test_other_weights_are_seldom_right(loaded, drafts):
    made = rig(loaded, drafts("qwen3"), counts=(3,))
    made.ask(b"once upon a time", max_tokens=40)
    assert drafting_of(made).accepted < 0.3 * drafting_of(made).drafted


@pytest.mark.parametrize(("draft", "ahead"), [("llama", True), ("qwen3", False), ("qwen3", True)])
def test_preempted_ones_resume_with_the_same_tokens(loaded, drafts, plain, draft, ahead):
    made = rig(loaded, drafts(draft), ahead=ahead, arena_blocks=16, max_arenas=1, step_tokens=64)
    prompts = {str(number): b"story number %d" % number for number in range(4)}
    for name, prompt in prompts.items():
        made.add(name, prompt, max_tokens=24)
    made.run()
    assert made.preemptions > 0
    assert made.tokens == {name: plain(prompt, 24) for name, prompt in prompts.items()}


def test_a_full_pool_in_small_arenas_with_moves(loaded, drafts, plain):
    made = rig(loaded, drafts("llama"), arena_blocks=8, max_arenas=6)
    prompts = {str(number): bytes([65 + number]) * 21 for number in range(7)}
    for turn in range(2):
        for name, prompt in prompts.items():
            made.add(f"{name} {turn}", prompt, max_tokens=20)
        made.run()
    assert made.tokens == {f"{name} {turn}": plain(prompt, 20) for name, prompt in prompts.items() for turn in range(2)}


def test_what_is_found_in_the_cache_is_found_by_the_draft_model_too(loaded, drafts, plain):
    """Its own keys and values of a known prompt are there: it has nothing to catch up."""
    draft = drafts("llama")
    made = rig(loaded, draft, counts=(4,))
    made.ask(bytes(SYSTEM) + b"Who?", max_tokens=6)
    prompt = bytes(SYSTEM) + b"Where?"
    computed = []
    forward = draft._model.forward
    draft._model.forward = lambda plan, tokens: computed.append(tokens.size) or forward(plan, tokens)
    try:
        answer, started = made.ask(prompt, max_tokens=11)
    finally:
        draft._model.forward = forward
    assert answer == plain(prompt, 11)
    assert computed[0] == len(prompt) - started.cached_tokens
    assert max(computed[1:]) <= 2


def test_a_conversation_goes_on_after_its_answer(loaded, drafts, plain):
    made = rig(loaded, drafts("llama"), counts=(4,))
    history = bytes(words(1, 30))
    for turn in range(3):
        answer, started = made.ask(history, max_tokens=15)
        assert answer == plain(history, 15)
        assert started.cached_tokens >= (len(history) - 5 - 15 if turn else 0) // BLOCK * BLOCK
        history = history + bytes(answer) + bytes(words(turn + 7, 5))
    drafting = drafting_of(made)
    assert drafting.accepted == drafting.drafted


def test_a_fault_of_the_draft_model_ends_the_step_and_what_comes_after_is_right(loaded, drafts, plain):
    draft = drafts("llama")
    made = rig(loaded, draft, counts=(3,))
    forward, calls = draft._model.forward, []

    def failing(plan, tokens):
        calls.append(plan)
        if len(calls) == 6:
            raise RuntimeError("the device is gone")
        return forward(plan, tokens)

    draft._model.forward = failing
    try:
        made.add("a", b"once upon a time", max_tokens=20)
        made.run()
        made.add("b", b"once upon a time", max_tokens=20)
        made.run()
    finally:
        draft._model.forward = forward
    assert "the device is gone" in str(made.failed["a"])
    assert made.tokens["b"] == plain(b"once upon a time", 20)


def test_memory_is_given_back_when_nobody_holds_it(loaded, drafts):
    draft = drafts("llama")
    made = rig(loaded, draft, counts=(3,))
    made.ask(bytes(SYSTEM) * 2, max_tokens=10)
    assert made.runner.memory().draft == draft.weight_bytes + draft.nbytes > draft.weight_bytes
    made.runner.evict_cached()
    assert made.runner.memory().kv == draft.nbytes == 0
    assert made.runner.memory().draft == draft.weight_bytes


def test_log_probabilities_and_penalties_go_with_guesses(loaded, drafts):
    asks = {"asks": {"logprobs": 3}, "temperature": 0.7, "seed": 5, "repetition_penalty": 1.2, "presence_penalty": 0.5}
    said = []
    for made in (PagedRig(loaded), rig(loaded, drafts("llama"), counts=(4,))):
        made.add("a", b"once upon a time", max_tokens=24, **asks)
        made.run()
        said.append(made.sampled["a"])
    assert [token.id for token in said[0]] == [token.id for token in said[1]]
    for one, other in zip(*said, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=2e-3)
        assert one.logprob > LEAST
