"""Blocks of real keys and values that go to disk and come back: what is said with them is what is said without."""

import logging

import mlx.core as mx
import numpy as np
import pytest

from mlxd.disk_terms import DiskSettings, DiskState
from mlxd.types import ResolvedLimits, SpeculationKind
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.paged.arenas import Arenas
from mlxd.worker.runtime.paged.block_payloads import BlockPayloads
from mlxd.worker.runtime.paged.build import paged_runner, prove_model, proved_model
from mlxd.worker.runtime.paged.key_value_choice import choose_key_values
from mlxd.worker.runtime.paged.slots import Geometry, Span
from tests.support.memory_tier import MemoryTier
from tests.worker import quantized_models, runner_rig
from tests.worker.runner_rig import RunnerRig, architecture

BLOCK = 4
SETTINGS = DiskSettings(path="/nowhere", limit=2**30)
PROMPT = list(b"You are a helpful assistant, and you answer at length.")
GEOMETRY = Geometry(BLOCK, 16)
DTYPES = pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)


def filled(dtype, heads=2, width=8, arenas=2):
    store = Arenas(GEOMETRY.arena_slots)
    for arena in range(arenas):
        keys = mx.random.normal((1, heads, GEOMETRY.arena_slots, width), key=mx.random.key(arena)).astype(dtype)
        values = mx.random.normal((1, heads, GEOMETRY.arena_slots, 2 * width), key=mx.random.key(10 + arena)).astype(dtype)
        store.write([Span(arena, 0, 0, GEOMETRY.arena_slots)], keys, values)
    mx.eval(store.tensors())
    return store


def content(stores, block):
    return [np.array(part.astype(mx.float32)) for store in stores for part in store.read(GEOMETRY.slots(block))]


@DTYPES
def test_what_was_copied_out_comes_back_bit_for_bit_elsewhere(dtype):
    stores = [filled(dtype), filled(mx.float32, heads=1, width=4)]
    payloads = BlockPayloads(stores, GEOMETRY)
    source, target = [3, 4, 5, 15, 16, 30, 2], [7, 20, 21, 22, 0, 1, 31]
    copies = payloads.copy_out(source, stores, GEOMETRY)
    assert {copy.nbytes for copy in copies} == {payloads.block_bytes}
    before = [content(stores, block) for block in source]
    others = {block: content(stores, block) for block in range(32) if block not in target}
    payloads.copy_in(target, [copy.data for copy in copies], stores, GEOMETRY)
    for block, was in zip(target, before, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(was, content(stores, block), strict=True))
    for block, was in others.items():
        assert all(np.array_equal(one, other) for one, other in zip(was, content(stores, block), strict=True))


def test_what_comes_back_needs_no_arena():
    stores = [filled(mx.bfloat16)]
    payloads = BlockPayloads(stores, GEOMETRY)
    copies = payloads.copy_out([17, 18], stores, GEOMETRY)
    was = content(stores, 17)
    stores[0].keep({})
    payloads.copy_in([17, 18], [copy.data for copy in copies], stores, GEOMETRY)
    assert all(np.array_equal(one, other) for one, other in zip(was, content(stores, 17), strict=True))


@DTYPES
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_not_copied_out(dtype, bad):
    stores = [filled(dtype)]
    payloads = BlockPayloads(stores, GEOMETRY)
    stores[0].write([Span(0, 5, 0, 1)], mx.full((1, 2, 1, 8), bad).astype(dtype), mx.zeros((1, 2, 1, 16)).astype(dtype))
    copies = payloads.copy_out([0, 1, 2], stores, GEOMETRY)
    assert [copy is None for copy in copies] == [False, True, False]


def test_to_copy_takes_no_memory_of_an_arena_s_size():
    geometry = Geometry(16, 4096)
    store = Arenas(geometry.arena_slots)
    store.write([Span(0, 0, 0, 1)], mx.zeros((1, 2, 1, 64)), mx.zeros((1, 2, 1, 64)))
    mx.eval(store.tensors())
    payloads = BlockPayloads([store], geometry)
    mx.reset_peak_memory()
    before = mx.get_peak_memory() or mx.get_active_memory()
    copies = payloads.copy_out([3, 4], [store], geometry)
    payloads.copy_in([9, 10], [copy.data for copy in copies], [store], geometry)
    assert mx.get_peak_memory() - before < store.nbytes // 8


def test_a_payload_of_another_size_is_refused():
    stores = [filled(mx.float32)]
    with pytest.raises(ValueError, match="bytes"):
        BlockPayloads(stores, GEOMETRY).copy_in([0], [memoryview(b"short")], stores, GEOMETRY)


# ---- in a runner ----


def runner(name, tier, *, draft=None, **limits):
    """A process of its own, as far as a test can tell: its memory is empty."""
    loaded = architecture(name)
    model = proved_model(loaded, BLOCK)
    resolved = ResolvedLimits(**({"cache_bytes": 2**22, "disk": SETTINGS} | limits))
    return loaded, RunnerRig(paged_runner(loaded, model, resolved, draft, open_tier=tier.told))


class Tier(MemoryTier):
    parts = ()

    def told(self, parts):
        assert self.parts in {(), tuple(parts)}, "the same model is another one after a restart"
        self.parts = tuple(parts)
        return self


def settle(rig):
    rig.run()
    while rig.runner.rest == 0.0:
        rig.step()


@pytest.mark.parametrize("name", ["llama", "deepseek_v3", "deepseek_v32", "gemma3_text", "gpt_oss"])
def test_a_conversation_goes_on_after_a_restart_as_it_would_have(name):
    tier = Tier()
    loaded, before = runner(name, tier)
    said, _ = before.ask(PROMPT, max_tokens=12)
    settle(before)
    turn = [*PROMPT, *said, *b" And then?"]
    expected = runner_rig.plain(loaded, turn, 12)
    _, after = runner(name, tier)
    tokens, started = after.ask(turn, max_tokens=12)
    assert tokens == expected
    assert started.disk_tokens == started.cached_tokens == (len(PROMPT) + 11) // BLOCK * BLOCK
    assert (len(tier.blocks) == started.disk_tokens // BLOCK) == (name not in {"gemma3_text", "gpt_oss"})  # beside: what windows show


def quantized_runner(name, tier):
    loaded = quantized_models.model(name)
    model = choose_key_values(loaded, prove_model(loaded, BLOCK), "int8").proved.model
    return RunnerRig(paged_runner(loaded, model, ResolvedLimits(cache_bytes=2**22, disk=SETTINGS), None, open_tier=tier.told))


@pytest.mark.usefixtures("any_loss")
@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_a_conversation_of_8_bits_goes_on_after_a_restart_as_it_would_have(name):
    tier, other = Tier(), Tier()
    before = quantized_runner(name, tier)
    said, _ = before.ask(PROMPT, max_tokens=12)
    settle(before)
    turn = bytes([*PROMPT, *said, *b" And then?"])
    expected = quantized_models.alone(name, turn)
    tokens, started = quantized_runner(name, tier).ask(turn, max_tokens=12)
    assert tokens == expected
    assert started.disk_tokens == started.cached_tokens == (len(PROMPT) + 11) // BLOCK * BLOCK
    loaded = quantized_models.model(name)
    paged_runner(loaded, proved_model(loaded, BLOCK), ResolvedLimits(cache_bytes=2**22, disk=SETTINGS), None, open_tier=other.told)
    assert other.parts != tier.parts, "blocks of one type are never those of another"


def test_a_draft_model_computes_what_came_from_disk_for_the_other_one_alone():
    tier, said = Tier(), []
    for _ in range(2):  # in the second process, keys and values of the draft model are missing
        drafting = architecture("llama")
        draft = DraftModel(drafting, proved_model(drafting, BLOCK))
        loaded, rig = runner("llama", tier, draft=draft, speculation=SpeculationKind.DRAFT)
        said += [rig.ask(turn, max_tokens=16)[0] for turn in (PROMPT, [*PROMPT, *b" And then?"], PROMPT)]
        settle(rig)
    assert said[:3] == said[3:]
    assert said[1] == runner_rig.plain(loaded, [*PROMPT, *b" And then?"], 16, said=said[1])
    assert sum(report.drafts for report in rig.reports) > 0


def test_what_is_evicted_for_want_of_room_comes_back():
    tier = Tier()
    loaded, rig = runner("llama", tier, cache_bytes=2**16)
    prompts = [list(bytes([letter]) * 70) for letter in b"abcdefgh"]
    for prompt in prompts:
        rig.ask(prompt, max_tokens=4)
    settle(rig)
    tokens, started = rig.ask(prompts[0], max_tokens=4)
    assert tokens == runner_rig.plain(loaded, prompts[0], 4, said=tokens)
    assert started.disk_tokens > 0


def test_a_model_with_recurrent_state_is_refused_by_name(caplog):
    with caplog.at_level(logging.WARNING):
        _, rig = runner("qwen3_next", Tier())
    figures = rig.runner.cache().disk
    assert figures.state is DiskState.OFF
    assert "recurrent" in figures.reason
    assert "recurrent" in caplog.text


def test_what_waits_is_written_at_the_end():
    tier = Tier()
    _, rig = runner("llama", tier)
    rig.ask(PROMPT, max_tokens=2)
    rig.runner.close()
    assert tier.closed
    assert len(tier.blocks) == len(PROMPT) // BLOCK


def test_it_is_switched_off_and_on_while_it_runs():
    tier = Tier()
    _, rig = runner("llama", tier, disk=None)
    rig.ask(PROMPT, max_tokens=2)
    settle(rig)
    assert tier.blocks == {}
    assert rig.runner.rest is None
    rig.runner.reconfigure(ResolvedLimits(cache_bytes=2**22, disk=SETTINGS))
    rig.ask(PROMPT, max_tokens=2)
    settle(rig)
    assert len(tier.blocks) == len(PROMPT) // BLOCK
