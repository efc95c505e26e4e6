"""Constraints: every token fits, each is accepted once, in order, by one thread; and nobody else's tokens change."""

import mlx.core as mx
import numpy as np
import pytest

from mlxd.errors import GenerationError
from mlxd.types import FinishReason, ResolvedLimits, Stopping
from mlxd.worker.runtime.entries.contiguous_runner import ContiguousRunner
from mlxd.worker.runtime.entries.simple_runner import SimpleRunner
from mlxd.worker.runtime.sampling.masks import masked
from tests.support.tiny_model import EOS
from tests.worker.runner_rig import PagedRig, RunnerRig, architecture, plain, words
from tests.worker.token_rules import Breaks, BreaksLate, Digits, Held, mask

LIMITS = ResolvedLimits(max_sequences=16, step_tokens=24, cache_bytes=2**30)
RIGS = {
    "paged": PagedRig,
    "ahead": lambda loaded: PagedRig(loaded, ahead=True),
    "simple": lambda loaded: RunnerRig(SimpleRunner(loaded, None, LIMITS)),
    "contiguous": lambda loaded: RunnerRig(ContiguousRunner(loaded, None, LIMITS)),
}


@pytest.fixture(scope="module")
def llama():
    return architecture("llama")


@pytest.fixture(params=RIGS)
def rig(request, llama):
    return RIGS[request.param](llama)


def fits(tokens, rules):
    again = Digits(rules.length, rules.letters, rules.free)
    for token in tokens:
        again.accept(token)
    return True


def test_every_token_fits_and_each_is_accepted_once_by_one_thread_at_a_time(llama, rig):
    rules = {"a": Digits(), "b": Digits(letters=b"xyz", free=3), "c": Digits(length=5)}
    for name, constraint in rules.items():
        rig.add(name, name.encode() * 5, asks={"constraint": constraint}, logit_bias={}, temperature=float(name == "b"), seed=3)
    rig.add("free", b"free of all", max_tokens=20)
    rig.run()
    for name, constraint in rules.items():
        assert fits(rig.tokens[name], constraint)
        sampled = rig.tokens[name]
        assert constraint.accepted[: len(sampled) - 1] == sampled[:-1]
        assert len(constraint.accepted) <= len(sampled) + 1  # mlx-lm computes one more than anybody reads
        assert all(thread.startswith("constraints_") for thread in constraint.threads)
    assert rig.ended == {"a": FinishReason.LENGTH, "b": FinishReason.LENGTH, "c": FinishReason.STOP, "free": FinishReason.LENGTH}
    assert rig.tokens["c"][-1] == EOS
    assert len(rig.tokens["c"]) == 6
    assert rig.tokens["free"] == plain(llama, b"free of all", 20, said=rig.tokens["free"])


@pytest.mark.parametrize("do", ["allowed", "accept", "nothing"])
@pytest.mark.parametrize("at", [1, 4])
def test_what_a_constraint_raises_ends_its_row_only(llama, rig, do, at):
    rig.add("broken", b"broken", asks={"constraint": Breaks(do, at)})
    good = Digits()
    rig.add("good", b"good", asks={"constraint": good})
    rig.add("free", b"free")
    rig.run()
    assert type(rig.failed["broken"]) is GenerationError
    assert ("allows no token" if do == "nothing" else "no token fits the grammar") in rig.failed["broken"].message
    assert len(rig.tokens["broken"]) == at
    assert fits(rig.tokens["good"], good)
    assert len(rig.tokens["good"]) == 12
    assert rig.tokens["free"] == plain(llama, b"free", said=rig.tokens["free"])


@pytest.mark.parametrize(("name", "ahead"), [("llama", False), ("llama", True), ("qwen3_next", True)])
def test_preempted_ones_go_on_where_their_constraint_is(name, ahead):
    loaded = architecture(name)
    rules = {str(number): Digits() for number in range(4)}
    roomy = PagedRig(loaded)
    for number in rules:
        roomy.add(number, b"story number %s" % number.encode(), max_tokens=24, asks={"constraint": Digits()})
    roomy.run()
    assert roomy.preemptions == 0
    rig = PagedRig(loaded, ahead=ahead, arena_blocks=16, max_arenas=1, step_tokens=64)
    for number, constraint in rules.items():
        rig.add(number, b"story number %s" % number.encode(), max_tokens=24, asks={"constraint": constraint})
    rig.run()
    assert rig.preemptions > 0
    assert rig.tokens == roomy.tokens
    for number, constraint in rules.items():
        rig.executor._sampler._masks.begin(Digits()).wait()  # what is accepted after the last token is done by then
        assert constraint.accepted == rig.tokens[number]


@pytest.fixture
def two_threads(monkeypatch):
    """As many for constraints as a larger machine has."""
    monkeypatch.setattr("mlxd.worker.engine.mask_pool.os.cpu_count", lambda: 3)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("ahead", [False, True])
def test_others_go_on_while_a_mask_is_late(llama, ahead):
    rig, late, good = PagedRig(llama, ahead=ahead), Held(at=3), Digits()
    rig.add("late", b"late", max_tokens=20, asks={"constraint": late})
    rig.add("good", b"good", max_tokens=20, asks={"constraint": good})
    rig.add("free", b"free of all", max_tokens=20)
    while "free" not in rig.ended or "good" not in rig.ended:
        rig.step()
    assert len(rig.tokens["late"]) == 3
    late.release.set()
    rig.run()
    assert rig.tokens["free"] == plain(llama, b"free of all", 20, said=rig.tokens["free"])
    alone = PagedRig(llama)
    for name in ("late", "good"):
        alone.add(name, name.encode(), max_tokens=20, asks={"constraint": Digits()})
    alone.run()
    assert {name: rig.tokens[name] for name in alone.tokens} == alone.tokens
    assert rig.ended == dict.fromkeys(rig.tokens, FinishReason.LENGTH)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("ahead", [False, True])
def test_a_prompt_that_comes_while_a_mask_is_late_is_computed(llama, ahead):
    rig, late = PagedRig(llama, ahead=ahead), Held(at=2)
    rig.add("late", b"late", asks={"constraint": late})
    rig.add("free", b"free", max_tokens=100)
    while len(rig.tokens.get("late", ())) < 2:
        rig.step()
    rig.add("new", b"a new prompt that takes more than one step to compute", max_tokens=4)
    while "new" not in rig.ended:
        rig.step()
    assert len(rig.tokens["late"]) == 2
    late.release.set()
    rig.run()
    assert len(rig.tokens["late"]) == 12


@pytest.mark.parametrize("ahead", [False, True])
def test_one_that_is_late_may_leave_or_fail(llama, ahead):
    rig, leaves = PagedRig(llama, ahead=ahead), Held(at=2)
    rig.add("leaves", b"leaves", asks={"constraint": leaves})
    rig.add("free", b"free of all", max_tokens=20)
    while len(rig.tokens.get("free", ())) < 6:
        rig.step()
    rig.runner.abort("leaves")
    leaves.release.set()
    fails = BreaksLate(at=2)
    rig.add("fails", b"fails", asks={"constraint": fails})
    while "free" not in rig.ended:
        rig.step()
    fails.release.set()
    rig.run()
    assert rig.tokens["free"] == plain(llama, b"free of all", 20, said=rig.tokens["free"])
    assert "leaves" not in rig.ended
    assert type(rig.failed["fails"]) is GenerationError
    assert not rig.executor._undrawn._groups


@pytest.mark.parametrize("ahead", [False, True])
def test_one_that_leaves_while_its_mask_is_awaited_costs_nobody_anything(llama, ahead):
    rig = PagedRig(llama, ahead=ahead)
    for name in "abcd":
        rig.add(name, name.encode() * 9, max_tokens=40, asks={"constraint": Digits()} if name in "ab" else None)
    for _ in range(5):
        rig.step()
    rig.runner.abort("a")
    rig.step()
    rig.runner.abort("c")
    rig.run()
    assert fits(rig.tokens["b"], Digits())
    assert rig.tokens["d"] == plain(llama, b"d" * 9, 40, said=rig.tokens["d"])
    assert not rig.executor._sampler._sequences
    assert not rig.executor._sampler._constrained


def test_nothing_but_an_end_fits_before_as_many_tokens_as_were_asked_for(rig):
    """What the constraint says goes first; a model's ends, and those that were named, are held back where anything else may come."""
    rig.add("a", b"hello", asks={"constraint": Digits(length=3), "stopping": Stopping(min_tokens=9)}, logit_bias={})
    stopping = Stopping(min_tokens=6, token_ids=[ord("7")])
    rig.add("b", b"hello", asks={"constraint": Digits(), "stopping": stopping}, logit_bias={ord("7"): 1000.0})
    rig.run()
    assert len(rig.tokens["a"]) == 4
    assert rig.tokens["a"][-1] == EOS
    assert rig.tokens["b"].index(ord("7")) == len(rig.tokens["b"]) - 1 == 6
    assert rig.ended == {"a": FinishReason.STOP, "b": FinishReason.STOP}


def test_ends_come_late_or_never_or_are_others(llama, rig):
    wants = {"logit_bias": {EOS: 1000.0}, "max_tokens": 8}
    rig.add("at once", b"hello", **wants)
    rig.add("late", b"hello", asks={"stopping": Stopping(min_tokens=3)}, **wants)
    rig.add("never", b"hello", asks={"stopping": Stopping(ignore_end=True)}, **wants)
    rig.add("never, and late", b"hello", asks={"stopping": Stopping(ignore_end=True, min_tokens=3)}, **wants)
    natural = plain(llama, b"hello")
    rig.add("named", b"hello", asks={"stopping": Stopping(token_ids=[natural[4], 250])})
    rig.run()
    assert rig.tokens["at once"] == [EOS]
    assert rig.tokens["late"] == [*natural[:3], EOS]
    assert rig.tokens["never"] == rig.tokens["never, and late"] == [EOS] * 8
    assert rig.tokens["named"] == natural[: natural.index(natural[4]) + 1]
    assert [rig.ended[name] for name in ("late", "never", "named")] == [FinishReason.STOP, FinishReason.LENGTH, FinishReason.STOP]


@pytest.mark.parametrize("vocab", [31, 32, 33, 259])
def test_a_mask_says_what_is_allowed(vocab):
    chosen = [0, 7, 30, vocab - 1]
    rows = masked(mx.zeros((4, vocab)), [mask(chosen, vocab), None, b"", mask([1], vocab) + b"\xff" * 40])
    found = [np.flatnonzero(np.isfinite(np.array(row))).tolist() for row in rows]
    assert found == [sorted(set(chosen)), list(range(vocab)), [], [1]]


@pytest.mark.parametrize("kind", RIGS)
def test_ten_mixed_requests_in_one_batch_say_what_they_say_alone(llama, kind):
    """Constraints, log-probabilities, plain ones, three of one prompt, and everything that ends an answer."""
    shared = words(5, 30)
    asks = {
        "grammar": {"constraint": Digits()},
        "grammar that ends": {"constraint": Digits(length=4)},
        "scored": {"logprobs": 4},
        "prompt scored": {"logprobs": 1} | ({"prompt_logprobs": True} if kind != "contiguous" else {}),
        "plain": {},
        **{f"choice {number}": {"logprobs": 0} for number in range(3)},
        "ignores ends": {"stopping": Stopping(ignore_end=True)},
        "all": {"constraint": Digits(free=2), "logprobs": 2, "stopping": Stopping(min_tokens=5, token_ids=[ord("a")])},
    }

    def make(name):
        made = asks[name]
        return made | ({"constraint": type(made["constraint"])(**_fields(made["constraint"]))} if "constraint" in made else {})

    def prompt(name):
        return shared if name.startswith("choice") else [*shared[:18], *name.encode()]

    together = RIGS[kind](llama)
    for name in asks:
        together.add(name, prompt(name), asks=make(name), logit_bias={}, max_tokens=8)
    together.run()
    heard = {}  # by prompt, which says what is asked
    for name in asks:
        text = tuple(prompt(name))
        if text not in heard:
            rig = RIGS[kind](llama)
            heard[text] = rig.ask(text, asks=make(name), logit_bias={}, max_tokens=8), rig.ended, rig.sampled
        (tokens, started), ended, sampled = heard[text]
        assert tokens == together.tokens[name], name
        assert ended[started.id] == together.ended[name]
        for one, other in zip(sampled[started.id], together.sampled[name], strict=True):
            assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
            assert [top.id for top in one.top] == [top.id for top in other.top]


def _fields(rules):
    return {"length": rules.length, "letters": rules.letters, "free": rules.free}
