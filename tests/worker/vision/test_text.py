"""Models that see, asked without pictures: their logits are transformers'."""

import sys

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlxd.worker.runtime import x86
from tests.support.seen_prompts import loaded_model
from tests.support.vision_references import architectures, kept_tokens, references

ROUNDING = 1e-3  # standard deviations of all logits: gemma3 rounds what it scales by to bfloat16, whatever the model's type


@pytest.fixture(scope="module", params=architectures())
def seeing(request):
    return request.param, loaded_model(request.param)


def test_its_logits_are_those_of_the_reference(seeing):
    name, loaded = seeing
    words = references(name)["words"]
    logits = np.array(loaded.model(mx.array([words.every_token()]), cache=make_prompt_cache(loaded.model))[0])
    found, expected = logits[:, kept_tokens(loaded.vocab_size)], words.arrays["columns"]
    assert np.abs(found - expected).max() < ROUNDING * words.arrays["last"].std()
    assert logits.argmax(axis=-1).tolist() == words.arrays["likeliest"].tolist()


def test_it_is_loaded_as_it_should_be(seeing):
    _, loaded = seeing
    assert loaded.facts.library == "mlx-vlm"
    assert loaded.facts.warnings == []


def test_its_activations_are_those_that_are_fast_on_this_machine(seeing):
    _, loaded = seeing
    modules = {sys.modules[type(module).__module__] for module in loaded.model.language_model.modules()}
    found = [module.swiglu for module in modules if hasattr(module, "swiglu")]
    assert set(found) <= {x86.swiglu}
