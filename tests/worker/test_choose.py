"""Which runner a model gets, and what is said of it."""

import logging

import mlx.core as mx
import pytest

from mlxd.errors import ConfigError
from mlxd.worker.runtime.choose import choose_runner
from mlxd.worker.runtime.entries.contiguous_probe import prove_batching
from mlxd.worker.runtime.paged.build import proved_model
from mlxd.worker.runtime.paged.layer_cache import NotPageableError, PagedLayerCache
from mlxd.worker.runtime.paged.manner import Manner
from tests.support.wire_requests import resolved
from tests.worker.runner_rig import RunnerRig, alone, architecture, words
from tests.worker.worker_link import load_message

PAGED = {"mode": "continuous", "cache_kind": "paged", "block_size": 8}


def choose(name, **changes):
    loaded = architecture(name)
    order = load_message("org/tiny", **changes)
    return loaded, choose_runner(order, resolved(order.limits), loaded)


@pytest.mark.parametrize(
    ("changes", "runner", "reason"),
    [
        ({"mode": "simple"}, "simple", 'batching.mode = "simple"'),
        ({"mode": "continuous", "cache_kind": "entries"}, "contiguous", 'cache.kind = "entries"'),
        ({"mode": "continuous", "cache_kind": "none"}, "contiguous", 'cache.kind = "none"'),
        (PAGED, "paged", "its logits over the paged cache were proved"),
    ],
)
def test_what_was_asked_for_is_no_fallback(changes, runner, reason):
    _, choice = choose("llama", **changes)
    assert (choice.name, choice.reason, choice.is_fallback) == (runner, reason, False)


def test_keys_and_values_of_8_bits_are_refused_where_nothing_is_paged():
    with pytest.raises(ConfigError, match=r'cache.dtype is "int8", but the model is not paged: a layer .* keeps a LayerCache'):
        choose("deepseek_v41", **PAGED, kv_wish="int8")


@pytest.mark.parametrize(
    ("name", "runner", "reason"),
    [
        ("deepseek_v41", "simple", "keeps a LayerCache, which cannot be paged; not batched: its caches cannot be batched"),
        ("plamo3", "simple", "not batched: its logits in a batch differ"),
    ],
)
def test_a_model_that_is_not_right_over_paged_blocks_runs_otherwise_and_says_so(name, runner, reason, caplog):
    with caplog.at_level(logging.WARNING):
        loaded, choice = choose(name, **PAGED)
    assert (choice.name, choice.is_fallback) == (runner, True)
    assert reason in choice.reason
    assert choice.reason in caplog.text
    rig = RunnerRig(choice.runner)
    prompts = {request: words(ord(request), 20) for request in "ab"}
    for request, prompt in prompts.items():
        rig.add(request, prompt)
    rig.run()
    assert rig.tokens == alone(loaded, prompts, said=rig.tokens)


def test_a_model_that_is_right_over_no_paged_blocks_runs_in_mlx_lm_s_batches_if_it_is_right_there(monkeypatch):
    monkeypatch.setattr(Manner, "copies", lambda _, __: False)
    _, choice = choose("plamo", **PAGED)
    assert (choice.name, choice.is_fallback) == ("contiguous", True)
    assert choice.reason.startswith("not paged: its attention computes with keys and values itself")


@pytest.mark.parametrize(
    ("name", "manner"),
    [
        ("kimi_linear", "prompts attend to copies of keys and values"),
        ("gemma2", "its attention is given copies of keys and values"),
        ("afm7", "its sequences are computed one after the other"),
    ],
)
def test_what_is_special_about_a_paged_model_is_said(name, manner):
    _, choice = choose(name, **PAGED)
    assert (choice.name, choice.is_fallback) == ("paged", False)
    assert choice.reason == f"its logits over the paged cache were proved; {manner}"


def test_a_fallback_leaves_no_trace_in_the_model():
    loaded = architecture("deepseek_v41")
    before = loaded.model.lm_head
    order = load_message("org/tiny", **PAGED)
    choose_runner(order, resolved(order.limits), loaded)
    assert loaded.model.lm_head is before


def test_a_paged_cache_that_is_a_little_wrong_is_found_out(monkeypatch):
    """One slot off: the kind of mistake that still gives words."""
    write = PagedLayerCache.update_and_fetch

    def shifted(self, keys, values):
        return write(self, mx.roll(keys, 1, axis=0), values)

    monkeypatch.setattr(PagedLayerCache, "update_and_fetch", shifted)
    with pytest.raises(NotPageableError, match="standard deviations"):
        proved_model(architecture("llama"), 8, [Manner.IN_PLACE])


@pytest.mark.parametrize("block_size", [1, 3, 16, 64])
def test_the_proof_holds_for_any_block_size(block_size):
    proved_model(architecture("llama"), block_size)


def test_a_cache_too_small_for_anything_is_an_error_of_the_configuration():
    with pytest.raises(ConfigError, match=r"cache\.memory is 1.0 KiB"):
        choose("llama", **PAGED, cache_bytes=1000)


def test_models_that_batch_are_proved_to():
    prove_batching(architecture("qwen3_next"))
