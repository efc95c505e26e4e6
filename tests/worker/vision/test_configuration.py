"""Configurations of models that see, as their first releases have them and as transformers 5 writes them, mean the same."""

import json

import mlx.core as mx
import numpy as np
import pytest

from mlxd.worker.runtime.vision.configuration import UnreadableSettingError, readable
from mlxd.worker.runtime.vision.loading import load_seeing_model
from tests.support.vision_references import architectures, checkpoint, kept_tokens, references

FORMS = ("config.json", "config_as_saved.json")


def configuration(architecture, form):
    return json.loads((checkpoint(architecture) / form).read_text())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", architectures())
def test_either_form_makes_the_model_that_transformers_has(architecture, form):
    config = configuration(architecture, form)
    model = load_seeing_model(checkpoint(architecture), config)
    words = references(architecture)["words"]
    logits = np.asarray(model(mx.array([words.every_token()]))[0])
    assert np.abs(logits[:, kept_tokens(logits.shape[1])] - words.arrays["columns"]).max() < 1e-4


@pytest.mark.parametrize("architecture", architectures())
def test_towers_are_alike(architecture):
    first, second = (load_seeing_model(checkpoint(architecture), configuration(architecture, form)).model.config for form in FORMS)
    known = readable(configuration(architecture, FORMS[0]))["vision_config"].keys() - {"model_type"}
    found = [{name: getattr(one.vision_config, name, None) for name in known} for one in (first, second)]
    assert found[0] == found[1]
    assert first.model_type == second.model_type


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", architectures())
def test_what_is_readable_stays_as_it_is(architecture, form):
    config = configuration(architecture, form)
    before = json.dumps(config)
    once = readable(config)
    assert (readable(once), json.dumps(config)) == (once, before)


def test_layers_in_an_order_that_cannot_be_told():
    config = configuration("gemma3", "config_as_saved.json")
    config["text_config"]["layer_types"] = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
    with pytest.raises(UnreadableSettingError, match="layer_types"):
        readable(config)


@pytest.mark.parametrize("architecture", ["idefics3", "smolvlm", "llava"])
def test_a_base_that_nobody_says_is_llamas(architecture):
    config = configuration(architecture, "config.json")
    del config["text_config"]["rope_theta"]
    assert load_seeing_model(checkpoint(architecture), config).model.config.text_config.rope_theta == 10000.0


def test_what_is_said_for_the_whole_model_is_said_to_its_words():
    config = configuration("gemma3", "config.json")
    tokens = config["text_config"].pop("mm_tokens_per_image")
    assert load_seeing_model(checkpoint("gemma3"), config).model.config.text_config.mm_tokens_per_image == tokens
