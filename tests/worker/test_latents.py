"""Models that keep one latent vector of a token in the place of keys and values: it is paged as it is."""

import mlx.core as mx
import pytest

from mlxd.types import AttentionWay
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.build import prove_model
from mlxd.worker.runtime.paged.latents import Latent, Latents
from mlxd.worker.runtime.paged.slots import Copy, Slots, Span
from tests.worker.runner_rig import PagedRig, architecture, plain, words

SHARED = 72  # tokens: as many as are worth reading together


@pytest.fixture(scope="module")
def loaded():
    return architecture("deepseek_v3")


def conversations(rig):
    """Asks three questions behind one beginning, one after the other, then together."""
    shared = words(1, SHARED)
    prompts = {str(number): [*shared, *words(number + 2, 5 + 3 * number)] for number in range(3)}
    first, *others = prompts
    rig.ask(prompts[first], first)
    for name in others:
        rig.add(name, prompts[name])
    rig.add("again", prompts[first])
    rig.run()
    return prompts | {"again": prompts[first]}


@pytest.mark.parametrize("way", [AttentionWay.ROWS, AttentionWay.GATHER])
def test_what_is_shared_and_cut_into_arenas_gives_the_same_tokens(loaded, way):
    rig = PagedRig(loaded, arena_blocks=7, max_arenas=32)
    rig.model.ways.regions = Regions(usual=way, most_copied=2**30)
    prompts = conversations(rig)
    assert rig.tokens == {name: plain(loaded, prompt) for name, prompt in prompts.items()}
    assert [rig.started[name].cached_tokens for name in prompts] == [0, SHARED, SHARED, 76]
    assert {type(store) for store in rig.model.stores} == {Latents}
    assert max(store.count for store in rig.model.stores) > 1


def test_a_token_takes_a_latent_and_a_position_in_each_layer(loaded):
    config = loaded.model.args
    model = prove_model(loaded, 4).model
    assert model.token_bytes == 4 * config.num_hidden_layers * (config.kv_lora_rank + config.qk_rope_head_dim)
    assert [layer.kind for layer in model.layers] == [Latent()] * config.num_hidden_layers


def test_scores_are_of_keys_that_are_put_together():
    latents, positions = (mx.random.normal((1, 1, 12, width), key=mx.random.key(width)) for width in (16, 8))
    store = Latent().store(slots=12)
    store.write([Span(0, 0, 0, 12)], latents, positions)
    where = [Slots(0, 6, 9), Slots(0, 1, 4)]
    keys, values = (mx.concatenate([one[:, :, 6:9], one[:, :, 1:4]], axis=2) for one in (mx.concatenate([latents, positions], -1), latents))
    queries = mx.random.normal((1, 1, 5, 24), key=mx.random.key(0))
    assert mx.allclose(store.scores(queries, where), queries @ keys.swapaxes(-1, -2), atol=1e-5)
    weights = mx.softmax(store.scores(queries, where), axis=-1)
    assert mx.allclose(store.mix(weights, where), weights @ values, atol=1e-6)
    fused = store.fused(queries, where, scale=1.0, mask=None, sinks=None)
    assert mx.allclose(fused, weights @ values, atol=1e-5)


def test_blocks_are_read_restored_and_copied_as_any_others():
    store, other = (Latent().store(slots=8) for _ in range(2))
    latents, positions = (mx.random.normal((1, 1, 8, width)) for width in (6, 2))
    store.write([Span(0, 0, 0, 8)], latents, positions)
    other.restore(Slots(3, 4, 8), store.read(Slots(0, 0, 4)))
    other.copy(Copy((Slots(3, 4, 8),), (Slots(3, 0, 4),)))
    for found, wrote in zip(other.read(Slots(3, 0, 4)), (latents, positions), strict=True):
        assert mx.array_equal(found, wrote[:, :, :4])
