"""The runner over mlx-lm's BatchGenerator: the same tokens, and one row's fault is its own."""

import gc

import mlx.core as mx
import pytest

from mlxd.errors import GenerationError
from mlxd.types import CacheOutcome, FinishReason, ResolvedLimits
from mlxd.worker.engine.step_budget import LEAST
from mlxd.worker.runtime import device
from mlxd.worker.runtime.entries import contiguous_runner
from mlxd.worker.runtime.entries.contiguous_runner import ContiguousRunner
from mlxd.worker.runtime.entries.prompt_cache import PromptCache
from mlxd.worker.runtime.entries.simple_runner import SimpleRunner
from mlxd.worker.runtime.sampling import processors
from tests.support.tiny_model import EOS
from tests.worker.broken_processor import Broken
from tests.worker.runner_rig import RunnerRig, alone, architecture, plain, words

MODELS = ["llama", "gemma3_text", "deepseek_v3", "longcat_flash", "mamba2", "kimi_linear"]
SYSTEM = words(9, 70)


@pytest.fixture(scope="module", params=MODELS)
def loaded(request):
    return architecture(request.param)


@pytest.fixture(scope="module")
def llama():
    return architecture("llama")


def batch(loaded, *, cached=True, max_entries=64, max_bytes=2**30, **limits):
    cache = PromptCache(max_entries=max_entries, max_bytes=max_bytes) if cached else None
    return RunnerRig(
        ContiguousRunner(loaded, cache, ResolvedLimits(**({"cache_bytes": 2**30, "max_sequences": 16, "step_tokens": 24} | limits)))
    )


def test_a_mixed_batch_with_joins_and_aborts(loaded):
    rig = batch(loaded)
    prompts = {"a": b"once upon a time", "b": [*SYSTEM, 1, 2], "c": b"x", "d": [*SYSTEM, 3], "e": SYSTEM, "f": b"gone" * 9}
    for name in ("a", "b", "f"):
        rig.add(name, prompts[name])
    for _ in range(3):
        rig.step()
    for name in ("c", "d"):
        rig.add(name, prompts[name])
    for _ in range(3):
        rig.step()
    rig.runner.abort("f")
    rig.add("e", prompts["e"])
    rig.run()
    assert {name: rig.tokens[name] for name in "abcde"} == {name: plain(loaded, prompts[name], said=rig.tokens[name]) for name in "abcde"}
    assert "f" not in rig.ended


def test_a_repeated_prompt_is_a_hit_with_the_same_tokens(loaded):
    rig = batch(loaded)
    expected = plain(loaded, SYSTEM, 6)
    for turn in range(3):
        tokens, started = rig.ask(SYSTEM, max_tokens=6)
        assert tokens == expected
        assert started.cache is (CacheOutcome.HIT if turn else CacheOutcome.MISS)
        assert started.cached_tokens == (len(SYSTEM) - 1 if turn else 0)


def test_hits_and_misses_side_by_side(loaded):
    rig = batch(loaded)
    rig.ask(SYSTEM, max_tokens=2)
    prompts = {"hit": SYSTEM, "longer": [*SYSTEM, 5, 6, 7], "other": words(3, 40)}
    for name, prompt in prompts.items():
        rig.add(name, prompt, max_tokens=6)
    rig.run()
    assert {name: rig.tokens[name] for name in prompts} == alone(loaded, prompts, 6, said=rig.tokens)


def test_a_prompt_never_starves_beside_streams(llama, monkeypatch):
    """One of so many steps is without prompts, to learn what streams take alone."""
    monkeypatch.setitem(contiguous_runner._LARGEST_CHUNK, "cpu", LEAST)
    rig = batch(llama, step_tokens=None)
    rig.add("stream", b"ab", max_tokens=400)
    rig.step()
    rig.add("prompt", words(5, 40 * LEAST), max_tokens=1)
    steps = 0
    while "prompt" not in rig.ended:
        rig.step()
        steps += 1
    assert "stream" not in rig.ended
    assert steps <= 60


def test_prompts_are_computed_in_chunks_beside_streams_that_go_on(llama):
    rig = batch(llama, step_tokens=8)
    rig.add("stream", b"ab", max_tokens=60)
    for _ in range(4):
        rig.step()
    rig.add("long", words(1, 80), max_tokens=1)
    before, steps = len(rig.tokens["stream"]), 0
    while "long" not in rig.ended:
        rig.step()
        steps += 1
    assert steps >= 79 // 8
    assert len(rig.tokens["stream"]) - before >= steps - 2
    assert max(report.tokens for report in rig.reports) <= 9


def test_sampled_tokens_and_penalties_are_those_of_simple_mode(llama):
    settings = {
        "hot": {"temperature": 1.2, "seed": 7, "top_p": 0.9},
        "penalised": {"repetition_penalty": 1.3, "frequency_penalty": 0.5},
        "seeded": {"temperature": 0.8, "seed": -3, "top_k": 20, "min_p": 0.02, "presence_penalty": 1.0},
        "greedy": {},
        "greedy too": {},
    }
    rig, simple = batch(llama), RunnerRig(SimpleRunner(llama, None, ResolvedLimits(cache_bytes=2**30)))
    for name, sampling in settings.items():
        rig.add(name, b"the same prompt", **sampling)
    rig.run()
    for name, sampling in settings.items():
        assert rig.tokens[name] == simple.ask(b"the same prompt", **sampling)[0], name


def test_a_fault_of_one_row_s_processor_ends_that_row_only(llama, monkeypatch):
    made = processors.batch_processors
    monkeypatch.setattr(processors, "batch_processors", lambda *of: [*made(*of), Broken()])
    rig = batch(llama)
    for name in "abc":
        rig.add(name, name.encode() * 5, seed=13 if name == "b" else 1)
    rig.run()
    assert isinstance(rig.failed["b"], GenerationError)
    assert "grammar" in rig.failed["b"].message
    assert {name: rig.tokens[name] for name in "ac"} == {name: plain(llama, name.encode() * 5, said=rig.tokens[name]) for name in "ac"}


def test_a_fault_of_a_step_ends_its_requests_and_the_next_ones_run(llama, monkeypatch):
    rig = batch(llama)
    for name in "ab":
        rig.add(name, words(ord(name), 30))
    for _ in range(3):
        rig.step()
    with monkeypatch.context() as patch:
        patch.setattr(type(rig.runner._generator), "next", lambda _: (_ for _ in ()).throw(RuntimeError("a fault of the device")))
        rig.step()
    assert set(rig.failed) == {"a", "b"}
    assert rig.ask(words(ord("a"), 30), "again")[0] == plain(llama, words(ord("a"), 30))


def test_end_tokens_end_a_sequence_and_the_others_go_on(llama):
    rig = batch(llama)
    rig.add("a", b"hello", max_tokens=20, logit_bias={EOS: 1000.0})
    rig.add("b", b"hello", max_tokens=20)
    rig.run()
    assert (rig.tokens["a"], rig.ended["a"]) == ([EOS], FinishReason.STOP)
    assert (rig.tokens["b"], rig.ended["b"]) == (plain(llama, b"hello", 20), FinishReason.LENGTH)


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_what_an_aborted_request_computed_serves_the_next(llama, steps):
    rig, prompt = batch(llama, step_tokens=16), words(4, 40)
    rig.add("x", prompt, max_tokens=50)
    for _ in range(steps):
        rig.step()
    rig.runner.abort("x")
    assert rig.runner.is_idle
    tokens, started = rig.ask(prompt)
    assert tokens == plain(llama, prompt, said=tokens)
    assert started.cached_tokens == min(16 * steps, 39)


def test_without_a_cache_nothing_is_kept_and_nothing_said_of_it(llama):
    rig = batch(llama, cached=False)
    for _ in range(2):
        _, started = rig.ask(SYSTEM)
        assert (started.cache, started.cached_tokens) == (None, 0)
    assert rig.runner.memory().kv == 0


def test_priorities_and_max_sequences(llama):
    rig = batch(llama, max_sequences=1)
    for name, priority in (("a", 0), ("b", 1), ("c", -1)):
        rig.add(name, words(1, 5), priority=priority)
    rig.run()
    assert list(rig.ended) == ["c", "a", "b"]
    assert max(report.rows for report in rig.reports) == 1
    rig.runner.reconfigure(ResolvedLimits(max_sequences=3, cache_bytes=2**30))
    assert rig.runner.capacity == 3
    for name in "xyz":
        rig.add(name, words(2, 5))
    rig.run()
    assert max(report.rows for report in rig.reports) == 3


def test_memory_stays_bounded_over_many_requests(llama):
    limit = 400_000
    gc.collect()
    before = mx.get_active_memory()
    rig = batch(llama, max_bytes=limit, max_entries=10_000)
    active = []
    for number in range(0, 80, 4):
        for offset in range(4):
            rig.add(str(number + offset), words((number + offset) % 20, 20 + (number + offset) % 30), max_tokens=4)
        rig.run()
        figures = rig.runner.memory()
        assert figures.kv <= limit
        active.append(figures.mlx_active)
    assert max(active[10:]) <= max(active[:10]) + 50_000
    assert max(active) <= before + limit + 500_000
    assert rig.runner.evict_cached() > 0
    assert rig.runner.memory().kv == 0


def test_the_wired_limit_that_mlx_lm_sets_is_undone(llama, monkeypatch):
    limits = []
    monkeypatch.setattr(device.mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(device.mx, "set_wired_limit", limits.append)
    batch(llama)
    assert limits == [0]
