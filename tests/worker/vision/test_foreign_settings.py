"""Settings that mlx-vlm passes over: a model that has another value than what it computes is not served as one that sees."""

import json

import pytest

from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.vision.foreign_settings import foreign_setting
from mlxd.worker.runtime.vision.library import ModelLibrary
from tests.support.vision_references import architectures, checkpoint


def configuration(architecture, form="config.json"):
    return json.loads((checkpoint(architecture) / form).read_text())


@pytest.mark.parametrize("form", ["config.json", "config_as_saved.json"])
@pytest.mark.parametrize("architecture", architectures())
def test_nothing_is_foreign_in_models_that_are_proved(architecture, form):
    assert foreign_setting(configuration(architecture, form)) is None


@pytest.mark.parametrize(
    ("architecture", "part", "name", "value"),
    [
        ("llava", "vision_config", "hidden_act", "gelu"),
        ("llava_interleave", "vision_config", "hidden_act", "quick_gelu"),
        ("pixtral", "vision_config", "hidden_act", "gelu"),
        ("qwen2_vl", "vision_config", "hidden_act", "silu"),
        ("idefics3", "text_config", "hidden_act", "relu"),
        ("gemma3", "text_config", "hidden_activation", "silu"),
        ("mistral3", None, "projector_hidden_act", "relu"),
        ("smolvlm", "text_config", "rope_scaling", {"type": "linear", "factor": 2.0}),
        ("smolvlm", "text_config", "rope_parameters", {"rope_type": "llama3", "rope_theta": 10.0}),
    ],
)
def test_another_value_is_named_and_the_model_is_one_of_text(architecture, part, name, value, tmp_path):
    config = configuration(architecture)
    (config if part is None else config[part])[name] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    library = ModelLibrary.of(JsonDocument.read_if_there(tmp_path / "config.json"))
    assert library.name == "mlx-lm"
    assert library.warning.startswith("it sees no pictures: config.json says ")
    assert name in library.warning


@pytest.mark.parametrize("value", ["swish", None])
def test_other_names_of_the_same_are_none(value):
    config = configuration("pixtral")
    config["vision_config"]["hidden_act"] = value
    assert foreign_setting(config) is None


@pytest.mark.parametrize("value", [None, [], "llama", 3])
def test_parts_that_are_no_parts_are_left_to_others(value):
    assert foreign_setting({"model_type": "llava", "text_config": value, "vision_config": value}) is None
