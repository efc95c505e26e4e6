"""Log-probabilities are those of the plain model: cold and on a hit, alone and in company, in every runner that gives them."""

import math

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlxd.errors import NotFiniteError, UnsupportedParameterError
from mlxd.types import Ability, CacheOutcome, FinishReason, ResolvedLimits
from mlxd.worker.engine.runner import ALL_OF_TEXT
from mlxd.worker.runtime.entries.contiguous_runner import ContiguousRunner
from mlxd.worker.runtime.entries.prompt_cache import PromptCache
from mlxd.worker.runtime.entries.simple_runner import SimpleRunner
from mlxd.worker.runtime.sampling import scores
from mlxd.worker.runtime.sampling.scores import LEAST, ScoredRow, score
from tests.support.tiny_model import EOS, VOCAB
from tests.worker.runner_rig import PagedRig, RunnerRig, architecture, words

LIMITS = ResolvedLimits(max_sequences=16, step_tokens=24, cache_bytes=2**30)
SYSTEM = list(b"You are a helpful assistant, and you answer at length.")


def prompt_cache():
    return PromptCache(max_entries=9, max_bytes=2**30)


RIGS = {
    "paged": PagedRig,
    "ahead": lambda loaded: PagedRig(loaded, ahead=True),
    "simple": lambda loaded: RunnerRig(SimpleRunner(loaded, prompt_cache(), LIMITS)),
    "contiguous": lambda loaded: RunnerRig(ContiguousRunner(loaded, prompt_cache(), LIMITS)),
}


@pytest.fixture(scope="module")
def llama():
    return architecture("llama")


MODELS = ["llama", "gemma3_text", "qwen3_next", "gemma4_text"]


@pytest.fixture(scope="module", params=MODELS)
def loaded(request):
    return architecture(request.param)


def rows(loaded, tokens):
    """mlx-lm's own log-softmax of every position, ``[T, vocab]``."""
    logits = loaded.model(mx.array(tokens)[None], cache=make_prompt_cache(loaded.model))[0].astype(mx.float32)
    return np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))


def check(scored, expected, top):
    """``expected`` are the rows that these tokens come from."""
    assert len(scored) == len(expected)
    for token, row in zip(scored, expected, strict=True):
        assert token.logprob == pytest.approx(row[token.id], abs=2e-3)
        assert len(token.top) == top
        values = [one.logprob for one in token.top]
        assert values == sorted(values, reverse=True)
        assert values == pytest.approx(np.sort(row)[::-1][:top], abs=2e-3)
        assert [row[one.id] for one in token.top] == pytest.approx(values, abs=2e-3)


@pytest.mark.parametrize("kind", RIGS)
def test_of_generated_tokens_whatever_changes_how_they_are_drawn(llama, kind):
    rig = RIGS[kind](llama)
    rig.add("plain", SYSTEM)
    rig.add(
        "all", SYSTEM, asks={"logprobs": 3}, temperature=1.3, top_k=3, seed=5, repetition_penalty=1.5, logit_bias={7: 50.0, EOS: -100.0}
    )
    rig.add("one", b"other", asks={"logprobs": 0})
    rig.run()
    for name, prompt, top in (("all", SYSTEM, 3), ("one", list(b"other"), 0)):
        expected = rows(llama, [*prompt, *rig.tokens[name]])[len(prompt) - 1 : -1]
        check(rig.sampled[name], expected, top)
    assert {(token.logprob, token.top) for token in rig.sampled["plain"]} == {(None, ())}


BOTH_WAYS = [("llama", "ahead"), ("llama", "simple"), ("qwen3_next", "simple")]  # what can be cut, and what cannot


@pytest.mark.parametrize(("loaded", "kind"), [*((name, "paged") for name in MODELS), *BOTH_WAYS], indirect=["loaded"])
def test_of_prompts_cold_and_where_the_cache_has_them_alone_and_in_company(loaded, kind):
    rig = RIGS[kind](loaded)
    prompt = [*SYSTEM, *words(3, 30)]
    rig.add("cold", prompt, asks={"logprobs": 2, "prompt_logprobs": True}, max_tokens=4)
    rig.add("other", words(9, 40), max_tokens=4)
    rig.add("third", words(4, 21), asks={"logprobs": 1, "prompt_logprobs": True}, max_tokens=1)
    rig.run()
    rig.add("again", prompt, asks={"logprobs": 2, "prompt_logprobs": True}, max_tokens=4)
    rig.run()
    expected = rows(loaded, prompt)[:-1]
    for name in ("cold", "again"):
        assert [token.id for token in rig.scored[name]] == prompt[1:]
        check(rig.scored[name], expected, 2)
        assert rig.started[name].cached_tokens == 0
        assert rig.started[name].cache is CacheOutcome.MISS
    assert rig.tokens["again"] == rig.tokens["cold"]
    check(rig.scored["third"], rows(loaded, words(4, 21))[:-1], 1)
    plain, started = rig.ask(prompt, max_tokens=4)
    assert plain == rig.tokens["cold"]
    assert started.cached_tokens > 0
    assert "other" not in rig.scored


@pytest.mark.parametrize("kind", ["paged", "ahead", "simple"])
@pytest.mark.parametrize("length", [1, 2, 30])
def test_of_a_prompt_that_nothing_is_to_follow(llama, kind, length):
    rig = RIGS[kind](llama)
    rig.add("a", words(1, length), max_tokens=0, asks={"logprobs": 1, "prompt_logprobs": True})
    rig.add("nothing at all", words(1, length), max_tokens=0)
    rig.add("b", words(1, length))
    rig.run()
    check(rig.scored["a"], rows(llama, words(1, length))[:-1], 1)
    assert rig.ended == dict.fromkeys(["a", "nothing at all", "b"], FinishReason.LENGTH)
    assert set(rig.tokens) == {"b"}


@pytest.mark.parametrize("ahead", [False, True])
def test_of_a_prompt_that_is_preempted(llama, ahead):
    rig = PagedRig(llama, ahead=ahead, arena_blocks=20, max_arenas=1, step_tokens=16)
    prompts = {str(number): words(number, 26) for number in range(4)}
    for name, prompt in prompts.items():
        rig.add(name, prompt, max_tokens=24, asks={"logprobs": 1, "prompt_logprobs": True})
    rig.run()
    assert rig.preemptions > 0
    for name, prompt in prompts.items():
        expected = rows(llama, [*prompt, *rig.tokens[name]])
        check(rig.scored[name], expected[: len(prompt) - 1], 1)
        check(rig.sampled[name], expected[len(prompt) - 1 : -1], 1)


def test_a_step_scores_no_more_than_fits(llama):
    rig = PagedRig(llama)
    rig.runner._scheduler._most_scored = 5
    prompts = {name: words(ord(name), 23) for name in "abc"}
    for name, prompt in prompts.items():
        rig.add(name, prompt, asks={"logprobs": 0, "prompt_logprobs": True})
    rig.run()
    assert max(rig.chunks) == 5
    for name, prompt in prompts.items():
        check(rig.scored[name], rows(llama, prompt)[:-1], 0)


def test_where_nothing_is_sorted_they_are_the_same(monkeypatch):
    logits = mx.random.normal((40, VOCAB), key=mx.random.key(3)) * 4
    tokens, rows = mx.arange(40) * 6, [ScoredRow("a", at % 21) for at in range(40)]
    expected = score(logits, tokens, rows).read()
    monkeypatch.setattr(scores, "prefers_thresholds", lambda: True)
    assert score(logits, tokens, rows).read() == expected


def test_one_that_is_impossible_is_finite():
    logits = mx.full((1, VOCAB), -math.inf)
    logits[:, 4] = 1.0
    (token,) = score(logits, mx.array([9]), [ScoredRow("a", 3)]).read()
    assert token.logprob == LEAST
    assert [one.logprob for one in token.top] == pytest.approx([0.0, LEAST, LEAST])


def test_more_than_there_are_tokens():
    (token,) = score(mx.zeros((1, 3)), mx.array([1]), [ScoredRow("a", 20)]).read()
    assert sorted(one.id for one in token.top) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["paged", "simple"])
def test_a_prompt_whose_logits_are_no_numbers_fails_with_nothing_to_follow_too(llama, kind, monkeypatch):
    rig = RIGS[kind](llama)
    module = "mlxd.worker.runtime.paged.executor" if kind == "paged" else "mlxd.worker.runtime.entries.simple_runner"
    monkeypatch.setattr(f"{module}.score", lambda logits, *more: score(logits * math.nan, *more))
    rig.add("a", SYSTEM, max_tokens=0, asks={"logprobs": 1, "prompt_logprobs": True})
    rig.run()
    assert isinstance(rig.failed["a"], NotFiniteError)


def test_a_runner_says_what_it_can(llama):
    runners = {kind: make(llama).runner for kind, make in RIGS.items()}
    assert runners["paged"].abilities == runners["simple"].abilities == ALL_OF_TEXT
    assert runners["contiguous"].abilities == {Ability.CONSTRAINTS, Ability.LOGPROBS}
    with pytest.raises(UnsupportedParameterError):
        RIGS["contiguous"](llama).add("a", SYSTEM, asks={"logprobs": 1, "prompt_logprobs": True})
