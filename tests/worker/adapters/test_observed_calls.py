"""Layers of which it is not known which rows they are given are refused where an adapter is looked at: by name, and not in a step."""

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from mlxd.errors import AdapterSourceError
from mlxd.worker.runtime.adapters.adapted_layers import GIVERS
from mlxd.worker.runtime.adapters.model_stacks import ModelStacks
from tests.support.adapter_files import write_mlx_lm
from tests.worker.adapters.adapted_rig import AdaptedRig, linear_shapes, tiny


def refused(rig, path):
    return rig.store.places.find(path).refusal


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("llama", "model.embed_tokens", "class Embedding"),
        ("dbrx", "transformer.blocks.0.ffn.experts.0.w1", "something else than rows"),
        ("deepseek_v3", "model.layers.0.self_attn.embed_q", "class MultiLinear"),
    ],
)
def test_what_cannot_be_changed_is_named_with_why(tmp_path, name, path, said):
    rig = AdaptedRig(tiny(name))
    assert said in refused(rig, path)
    with pytest.raises(AdapterSourceError, match=said) as raised:
        rig.fit(write_mlx_lm(tmp_path, {path: (64, 32)}))
    assert path in raised.value.message


def test_the_model_is_what_it_was_while_nothing_is_loaded(tmp_path):
    rig = AdaptedRig(tiny("qwen3_moe"))
    module = rig.model.callable_model
    kinds, names = [type(one) for one in module.modules()], [name for name, _ in tree_flatten(module.parameters())]
    ModelStacks(rig.model, mx.float32)
    assert [type(one) for one in module.modules()] == kinds
    adapter = rig.fit(write_mlx_lm(tmp_path, linear_shapes(module, "q_proj", "up_proj", "lm_head")))
    rig.ask([1, 2, 3], adapter=adapter)
    assert [type(one) for one in module.modules()] != kinds
    assert [name for name, _ in tree_flatten(module.parameters())] == names
    rig.unload(adapter)
    assert [type(one) for one in module.modules() if not isinstance(one, GIVERS)] == [
        kind for kind in kinds if not issubclass(kind, GIVERS)
    ]
    assert rig.store.nbytes == 0
