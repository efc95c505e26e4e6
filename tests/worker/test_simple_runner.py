"""The simple runner on real MLX, without the process around it."""

import gc

import mlx.core as mx
import pytest

from mlxd.errors import GenerationError
from mlxd.types import CacheOutcome, ResolvedLimits
from mlxd.worker.runtime.entries.prompt_cache import PromptCache
from mlxd.worker.runtime.entries.simple_runner import SimpleRunner
from mlxd.worker.runtime.loading import load
from tests.support.tiny_model import make_tiny_model
from tests.worker.runner_rig import RunnerRig, plain, words

SLIDING = {
    "model_type": "gemma3_text",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "query_pre_attn_scalar": 16,
    "sliding_window": 32,
    "sliding_window_pattern": 2,
}
RECURRENT = {
    "model_type": "mamba",
    "intermediate_size": 128,
    "state_size": 8,
    "conv_kernel": 4,
    "use_bias": False,
    "use_conv_bias": True,
    "time_step_rank": 8,
}
MODELS = {"llama": {}, "sliding": SLIDING, "recurrent": RECURRENT}


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    return load(make_tiny_model(tmp_path_factory.mktemp(request.param), **MODELS[request.param]), dtype="auto", context_limit=None)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return load(make_tiny_model(tmp_path_factory.mktemp("llama")), dtype="auto", context_limit=None)


def cached(model, *, max_entries=64, max_bytes=2**30):
    return RunnerRig(SimpleRunner(model, PromptCache(max_entries=max_entries, max_bytes=max_bytes), ResolvedLimits(cache_bytes=2**30)))


def uncached(model):
    return RunnerRig(SimpleRunner(model, None, ResolvedLimits(cache_bytes=2**30)))


# Where a prompt is cut is the runner's affair, not a cache's.
CUTS = [
    *(("llama", length) for length in (1, 2, 128, 129, 130, 257, 300)),
    *((name, n) for name in ("sliding", "recurrent") for n in (1, 129)),
]


@pytest.mark.parametrize(("model", "length"), CUTS, indirect=["model"])
def test_greedy_is_what_mlx_lm_says_cold_and_on_a_hit(model, length):
    runner, prompt = cached(model), words(length, length)
    for turn in range(3):
        tokens, found = runner.ask(prompt, max_tokens=6)
        assert tokens == plain(model, prompt, 6, said=tokens)
        assert found.cached_tokens == (length - 1 if turn else 0)
        assert found.cache is (CacheOutcome.HIT if turn and length > 1 else CacheOutcome.MISS)


def test_an_entry_of_another_prompt_gives_its_shared_beginning_and_nothing_else(model):
    """A prompt after one it begins like, one it is the beginning of, and one that holds it elsewhere (chained prefixes)."""
    system, document, question = words(1, 90), words(2, 70), words(3, 20)
    runner = cached(model)
    prompts = [system + document + question, document + question, system + question, system + document, system, document + question]
    for prompt in prompts:
        tokens, found = runner.ask(prompt, max_tokens=8)
        assert tokens == plain(model, prompt, 8, said=tokens)
        assert found.cached_tokens < len(prompt)


def test_a_conversation_finds_its_history_answer_included(model):
    runner, history = cached(model), words(5, 50)
    for turn in range(3):
        answer, found = runner.ask(history, max_tokens=15)
        assert answer == plain(model, history, 15, said=answer)
        assert found.cached_tokens == (len(history) - 10 if turn else 0)
        history = history + answer + words(turn, 10)


def test_an_entry_is_not_changed_by_those_who_use_it(model):
    runner, prompt = cached(model), words(6, 60)
    expected, _ = runner.ask(prompt)
    for other in range(2):
        runner.ask(prompt + words(other, 9), max_tokens=8)
        runner.ask(prompt[:40] + words(other, 30), max_tokens=8)
        assert runner.ask(prompt)[0] == expected


def test_prompt_chunks_cover_each_token_but_the_last_exactly_once(llama):
    runner = cached(llama)
    runner.ask(words(1, 300), max_tokens=1)
    assert runner.chunks == [128, 128, 43]
    runner.reports.clear()
    _, found = runner.ask(words(1, 300) + words(9, 50), max_tokens=1)
    assert found.cached_tokens == 300
    assert runner.chunks == [49]


@pytest.mark.parametrize(
    ("model", "after"),
    [*(("llama", after) for after in (1, 2, 3, 4, 9)), ("sliding", 2), ("sliding", 9), ("recurrent", 3)],
    indirect=["model"],
)
def test_an_abort_stops_at_once_and_what_was_computed_serves_the_next(model, after):
    runner, prompt = cached(model), words(8, 300)
    runner.add("x", prompt, max_tokens=50)
    for _ in range(after):
        runner.step()
    runner.runner.abort("x")
    assert runner.runner.is_idle
    tokens, found = runner.ask(prompt, max_tokens=6)
    assert tokens == plain(model, prompt, 6, said=tokens)
    assert found.cached_tokens == min(128 * min(after - 1, 2) + 43 * (after > 3), 299)


def test_aborted_while_it_waits_it_never_runs(llama):
    runner = cached(llama)
    runner.add("a", words(1, 20))
    runner.add("b", words(2, 20))
    runner.step()
    runner.runner.abort("b")
    runner.run()
    assert list(runner.started) == ["a"]


def test_a_lower_number_goes_first(llama):
    runner = cached(llama)
    for name, priority in (("a", 0), ("b", 1), ("c", -1)):
        runner.add(name, words(1, 5), priority=priority)
    runner.run()
    assert list(runner.ended) == ["c", "a", "b"]


def test_limits_of_the_cache_change_at_once(llama):
    runner = cached(llama)
    for seed in range(6):
        runner.ask(words(seed, 40))
    assert runner.runner.cache().kept.count == 6
    runner.runner.reconfigure(ResolvedLimits(cache_entries=2, cache_bytes=2**30))
    assert runner.runner.cache().kept.count == 2
    assert runner.runner.evict_cached() == 2
    assert runner.runner.memory().kv == 0


@pytest.mark.parametrize("when", [1, 2, 3, 5])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_fault_in_the_middle_of_the_layers_leaves_nothing_wrong_behind(llama, monkeypatch, when, layer):
    runner, prompt = cached(llama), words(4, 200)
    expected = plain(llama, prompt, 12)
    broken, calls = type(llama.model.layers[layer].mlp), []
    original, target = broken.__call__, llama.model.layers[layer].mlp

    def fail(self, x):
        if self is target:
            calls.append(1)
            if len(calls) == when:
                raise RuntimeError("a fault of the device")
        return original(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(broken, "__call__", fail)
        with pytest.raises(GenerationError, match="a fault of the device"):
            runner.ask(prompt)
    assert runner.runner.cache().kept.count == 0
    assert runner.ask(prompt)[0] == expected


def test_a_fault_outside_the_model_leaves_nothing_to_the_garbage_collector(llama, monkeypatch):
    """Which would end what is half done at any time, on any thread."""
    runner, prompt = cached(llama), words(4, 200)
    runner.add("x", prompt)
    runner.step()
    session = runner.runner._session
    with monkeypatch.context() as patch:
        patch.setattr(runner.runner._budget, "observe", lambda *_: 1 / 0)
        runner.run()
    assert isinstance(runner.failed["x"], GenerationError)
    assert session.steps.gi_frame is None
    assert runner.ask(prompt)[1].cached_tokens >= 128  # what was computed is good


def test_memory_counts_the_running_request_and_forgets_it(llama):
    runner = uncached(llama)
    runner.add("x", words(1, 300), max_tokens=3)
    held = []
    while not runner.runner.is_idle:
        runner.step()
        held.append(runner.runner.memory().kv)
    assert held[0] == 0
    assert held[-2] > held[1] > 0
    assert held[-1] == 0


def test_memory_stays_bounded_over_many_requests(llama):
    limit = 400_000
    gc.collect()  # what other tests left
    before = mx.get_active_memory()
    runner = cached(llama, max_bytes=limit, max_entries=10_000)
    active = []
    for number in range(60):
        runner.ask(words(number % 20, 20 + number % 30), max_tokens=4)
        figures = runner.runner.memory()
        assert figures.kv <= limit
        active.append(figures.mlx_active)
    assert max(active[30:]) <= max(active[:30]) + 50_000
    assert max(active) <= before + limit + 300_000


def test_a_short_prompt_that_begins_like_a_long_one_keeps_only_its_own_tokens(llama):
    runner = cached(llama)
    runner.ask(words(1, 500), max_tokens=1)
    before = runner.runner.memory().kv
    runner.ask([*words(1, 10), 1, 2, 3], max_tokens=2)
    per_token = before / 501
    assert runner.runner.memory().kv - before <= 20 * per_token


def test_recurrent_layers_find_a_repeated_prompt_although_they_cannot_be_cut(tmp_path):
    model = load(make_tiny_model(tmp_path, **RECURRENT), dtype="auto", context_limit=None)
    runner, prompt = cached(model), words(2, 64)
    runner.ask(prompt, max_tokens=20)
    _, found = runner.ask(prompt, max_tokens=20)
    assert (found.cached_tokens, found.cache) == (63, CacheOutcome.HIT)
    tokens, found = runner.ask(prompt[:30], max_tokens=20)  # no state was kept at this place
    assert found.cached_tokens == 0
    assert tokens == plain(model, prompt[:30], 20, said=tokens)


def test_penalties_see_the_cached_part_of_the_prompt_too(llama):
    cold, warm = uncached(llama), cached(llama)
    prompt = words(3, 60)
    warm.ask(prompt)
    penalties = {"repetition_penalty": 1.8, "presence_penalty": 0.5, "frequency_penalty": 0.5}
    expected, _ = cold.ask(prompt, max_tokens=30, **penalties)
    tokens, found = warm.ask(prompt, max_tokens=30, **penalties)
    assert found.cache is CacheOutcome.HIT
    assert tokens == expected
    assert tokens != cold.ask(prompt, max_tokens=30)[0]


def test_a_high_frequency_penalty_never_repeats_a_token(llama):
    tokens, _ = uncached(llama).ask(words(3, 10), max_tokens=40, presence_penalty=1000.0)
    assert len(set(tokens)) == len(tokens)


def test_a_seed_gives_the_same_draws_cold_and_on_a_hit(llama):
    runner, prompt = cached(llama), words(2, 40)
    draws = [runner.ask(prompt, max_tokens=20, temperature=1.0, top_p=0.9, seed=seed)[0] for seed in (11, 11, 12)]
    assert draws[0] == draws[1] != draws[2]
