"""A paged runner whose requests may have adapters, and the plain models that their texts are compared with."""

import re
from dataclasses import replace

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_unflatten

from mlxd.types import SamplingParams
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.adapters.store import AdapterOrders, AdapterStore
from mlxd.worker.engine.paged_runner import PagedRunner
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.facts.adapters.directory import read_adapter
from mlxd.worker.facts.adapters.fit import FittedAdapter
from mlxd.worker.facts.adapters.tensor_values import ExaminedAdapter
from mlxd.worker.runtime.adapters.adapted_layers import weight_of
from mlxd.worker.runtime.adapters.model_stacks import ModelStacks
from mlxd.worker.runtime.paged.build import cache_sizing
from tests.support.adapter_files import write_mlx_lm, write_peft
from tests.worker.runner_rig import NEVER_ENDS, ROOT, PagedRig, architecture

PLENTY = 2**30  # bytes


def tiny(name, *, bits=None, dtype="float32", **fields):
    """A tiny random model that nobody else has: its layers may be changed. The same each time."""
    loaded = replace(architecture(name, **fields), dtype=dtype)
    loaded.model.set_dtype(getattr(mx, dtype))
    if bits is not None:
        nn.quantize(loaded.model, group_size=32, bits=bits)
    return loaded


class Asking:
    """A rig whose requests may have adapters."""

    def add(self, name, prompt, *, adapter=None, max_tokens=12, priority=0, asks=None, **sampling):
        options = {"temperature": 0.0, "logit_bias": NEVER_ENDS} | sampling
        encoded = EncodedPrompt(list(prompt), max_tokens, ROOT).adapted(adapter.identity if adapter else "")
        self.runner.add(EngineRequest(name, encoded, SamplingParams(**options), priority=priority, adapter=adapter, **(asks or {})))


class AdaptedRig(Asking, PagedRig):
    """``read`` begins to read an adapter; by default its values are there at once."""

    def __init__(self, loaded, *, limit=PLENTY, read=None, pinned=(), **options):
        super().__init__(loaded, **options)
        self.stacks = ModelStacks(self.model, getattr(mx, loaded.dtype))
        self.store = AdapterStore(self.stacks)
        self.store.read = read or at_once
        self.order(limit, pinned)
        scheduler = Scheduler(
            self.manager,
            self.limits,
            StepBudget(largest=64),
            end_tokens=self.executor.end_tokens,
            adapters=self.store,
            speculation=options.get("speculation"),
        )
        self.runner = PagedRunner(scheduler, self.manager, self.executor, cache_sizing(loaded, self.model), self.limits)

    def order(self, limit, pinned=(), known=None):
        every = frozenset(known) if known is not None else Everything()
        self.store.follow(AdapterOrders(limit, frozenset(one.identity for one in pinned), every))

    def unload(self, adapter):
        self.store.unload(adapter.identity)
        self.settle()

    def settle(self):
        """Until adapters are as they are ordered."""
        while self.store.is_busy:
            self.step()

    def fit(self, directory):
        return fitted(directory, self.store)

    def slot_of(self, adapter):
        return self.store._held[adapter.identity].slot


def fitted(directory, store):
    return FittedAdapter.of(ExaminedAdapter.of(read_adapter(directory)), store.places)


def at_once(adapter, arrive):
    arrive(list(adapter.examined.values()))


class Everything(frozenset):
    def __contains__(self, _):
        return True


def linear_shapes(model, *ends):
    """The shapes of the layers whose names end so, by their paths: inputs and outputs, and experts before them where there are any."""
    found = {}
    for full, layer in model.named_modules():
        path = full.removesuffix(".inner")
        if path.rpartition(".")[2] in ends and hasattr(layer, "weight"):
            *experts, outputs, inputs = layer.weight.shape
            width = layer.bits if hasattr(layer, "bits") else 32
            found[path] = (*experts, inputs * 32 // width, outputs)
    assert found, f"no layer ends in {ends}"
    return found


def three(directory, model, *, experts=()):
    """A plain adapter of mlx-lm, one of PEFT and one of DoRA, of different ranks and layers; the first changes ``experts``, too."""
    first, second, third = (
        linear_shapes(model, *ends) for ends in (("q_proj", "v_proj", *experts), ("o_proj", "v_proj"), ("k_proj", "q_proj"))
    )
    chance = np.random.default_rng(5)
    magnitudes = {path: chance.uniform(0.5, 1.5, shape[-1]).astype(np.float32) for path, shape in third.items()}
    return (
        write_mlx_lm(directory / "plain", first, rank=4, scale=2.0, seed=1, lora_parameters=keys(first)),
        write_peft(directory / "peft", second, rank=7, alpha=10.0, seed=2),
        write_mlx_lm(directory / "dora", third, rank=3, scale=1.0, seed=3, magnitudes=magnitudes, lora_parameters=keys(third)),
    )


def keys(shapes):
    """The layers as mlx-lm's configuration names them: within their blocks."""
    return {"keys": sorted({re.sub(r".*layers\.\d+\.", "", path) for path in shapes})}


def merged(loaded, adapter):
    """The same model with an adapter in its weights, in full precision; ``loaded`` is used up."""
    merge(loaded.model, adapter)
    return replace(loaded)


def merge(model, adapter):
    layers = dict(model.named_modules())
    made = []
    for values in adapter.examined.values():
        path = next(placed.path for placed in adapter.layers if placed.layer.path == values.path)
        delta = (mx.array(values.a) @ mx.array(values.b)).swapaxes(-1, -2)
        made.append((path, _with(layers[path], delta, values.magnitude)))
    model.update_modules(tree_unflatten(made))


def _with(layer, delta, magnitude):
    if delta.ndim == 3:
        layer.weight = layer.weight + delta
        return layer
    weight = weight_of(layer) + delta
    if magnitude is not None:
        weight = weight * (mx.array(magnitude) / mx.linalg.norm(weight, axis=1))[:, None]
    plain = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in layer)
    plain.weight = weight
    if "bias" in layer:
        plain.bias = layer.bias
    return plain
