"""Attention knows nothing of how keys and values are stored."""

import mlx.core as mx
import pytest

from mlxd.worker.runtime.paged.arenas import Arenas, Plain
from tests.worker.runner_rig import PagedRig, alone, architecture, words


class OneVector(Arenas):
    """A token's key and value as one vector, as a latent store has them."""

    def write(self, writes, keys, values):
        both = mx.concatenate([keys, values], axis=-1)
        super().write(writes, both, both)

    def scores(self, queries, where):
        width = super().read(where[0])[0].shape[-1]
        padding = mx.zeros((*queries.shape[:-1], width - queries.shape[-1]), queries.dtype)
        return super().scores(mx.concatenate([queries, padding], axis=-1), where)

    def mix(self, weights, where):
        mixed = super().mix(weights, where)
        return mixed[..., mixed.shape[-1] // 2 :]


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "gpt_oss"])  # plain, windows, sinks
def test_any_store_that_gives_the_same_scores_and_sums_gives_the_same_tokens(name, monkeypatch):
    monkeypatch.setattr(Plain, "store", lambda _, slots: OneVector(slots))
    loaded = architecture(name)
    rig = PagedRig(loaded, step_tokens=16)
    system = words(1, 80)
    prompts = {str(number): [*system, *words(number + 2, 3)] for number in range(3)}
    for request, prompt in prompts.items():
        rig.add(request, prompt)
    rig.run()
    assert {type(store) for store in rig.model.stores} == {OneVector}
    assert rig.tokens == alone(loaded, prompts, said=rig.tokens)
