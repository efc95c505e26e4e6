"""Models whose attention computes with keys and values itself are paged as well: they are given copies, or computed one by one."""

import mlx.core as mx
import pytest

from mlxd.worker.runtime.paged.build import prove_model
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.paged.sparse_attention import narrowed
from tests.worker.runner_rig import PagedRig, alone, architecture, plain, words

MANNERS = {
    "kimi_linear": Manner.PROMPTS_COPIED,  # latents beside recurrent states
    "plamo": Manner.COPIED,
    "deepseek_v32": Manner.COPIED,  # a list of caches in each layer
    "gemma2": Manner.COPIED_BY_GROUP,
    "llama4": Manner.ALONE,  # chunked caches
    "minimax_m3_vl": Manner.ALONE,  # selects keys by their places
}


@pytest.mark.parametrize("name", MANNERS)
def test_company_arenas_and_hits_change_nothing(name):
    loaded = architecture(name)
    rig = PagedRig(loaded, arena_blocks=5, max_arenas=64)
    assert rig.model.manner is MANNERS[name]
    shared = words(1, 40)
    prompts = {"first": [*shared, *words(2, 7)], "second": [*shared, *words(3, 11)], "third": words(4, 21), "short": words(5, 2)}
    rig.ask(prompts["first"], "first")
    for request in ("second", "third", "short"):
        rig.add(request, prompts[request])
        rig.step()
    rig.run()
    assert rig.started["second"].cached_tokens == 40
    assert rig.tokens == alone(loaded, prompts, said=rig.tokens)


def copied(loaded):
    """The share of the arenas that some steps had in memory for a while beside them."""
    rig = PagedRig(loaded, arena_blocks=16384, max_arenas=1, spare=4 * 16384)
    for number in range(3):
        rig.add(str(number), words(number, 20), max_tokens=20)
    while len(rig.tokens) < 3:
        rig.step()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    rig.add("beside", words(9, 60), max_tokens=3)
    rig.run()
    return (mx.get_peak_memory() - before) / rig.model.nbytes


@pytest.mark.parametrize("name", ["falcon_h1", "kimi_linear", "plamo", "afm7"])
def test_no_call_of_a_step_copies_an_arena(name):
    """What one call of the model has read must be let go before the next one writes. On a busy CPU it seldom is: MLX's thread says that an
    array is computed before it lets go of what it read, and may be interrupted in between. So it is tried again; a call that holds on to
    what it read copies each time.
    """
    loaded = architecture(name)
    assert any(copied(loaded) < 0.2 for _ in range(12))


def test_states_that_grow_with_the_first_tokens_are_not_stacked_with_others():
    loaded = architecture("longcat_flash_ngram")
    rig = PagedRig(loaded)
    prompts = {"one": words(1, 1), "two": words(2, 2), "other": words(3, 1), "long": words(4, 30)}
    for request, prompt in prompts.items():
        rig.add(request, prompt)
    rig.run()
    assert rig.tokens == alone(loaded, prompts, said=rig.tokens)


def test_keys_that_are_values_too_are_stored_once():
    loaded = architecture("deepseek_v32")
    config = loaded.model.args
    model = prove_model(loaded, 4).model
    widths = config.kv_lora_rank + config.qk_rope_head_dim + config.index_head_dim
    assert model.token_bytes == 4 * config.num_hidden_layers * widths


def test_a_selection_that_a_short_proof_would_not_see_is_made_to_show():
    loaded = architecture("minimax_m3_vl")
    sparse = [module for module in loaded.model.modules() if getattr(module, "index_topk_blocks", None)]
    for module in sparse:
        module.index_topk_blocks = 64
    assert prove_model(loaded, 4).model.manner is Manner.ALONE
    with narrowed(loaded.model):
        assert {module.index_topk_blocks for module in sparse} == {3}
    assert {module.index_topk_blocks for module in sparse} == {64}


def test_blocks_behind_a_chunk_of_the_text_are_given_back():
    """Llama 4 sees a chunk of the text in most of its layers."""
    loaded = architecture("llama4")
    rig = PagedRig(loaded, window_blocks=8, max_arenas=1)
    prompt = words(1, 100)
    answer, _ = rig.ask(prompt)
    assert answer == plain(loaded, prompt, said=answer)
    assert [group.pool.counts().total for group in rig.manager.windows] == [8]
