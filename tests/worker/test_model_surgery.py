"""A tiny model's directory with one file edited: it loads and serves, or the reason names the file and the key."""

import json
import os
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mlxd.errors import ConfigError, ModelSourceError
from mlxd.types import FinishReason
from mlxd.wire.messages import LoadFailed, Ready
from mlxd.worker.runtime.loading import load
from tests.support.tiny_model import CHAT_TEMPLATE, EOS, IM_START, SPECIALS, VOCAB, make_scripted_model, make_tiny_model
from tests.worker.worker_link import MODES, in_thread, text

ABSENT = object()
BIG = 10**30
YARN_WITHOUT_FACTOR = {"rope_type": "yarn"}


@pytest.fixture
def model(tmp_path):
    return make_tiny_model(tmp_path / "model")


def edit(model, name, **changes):
    path = model / name
    values = json.loads(path.read_text()) if path.exists() else {}
    values = {key: value for key, value in (values | changes).items() if value is not ABSENT}
    path.write_text(json.dumps(values))
    return model


def edit_tokenizer(model, change):
    path = model / "tokenizer.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    return model


def opened(model, **options):
    return load(model, **({"dtype": "auto", "context_limit": None} | options))


def refusal(model):
    with pytest.raises((ModelSourceError, ConfigError)) as caught:
        opened(model)
    assert str(model) in caught.value.message
    assert "mlxd-model-" not in caught.value.message  # not of the directory that only the library saw
    assert "mlxd-worker-" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("hidden_size", value) for value in (None, 0, "64", 64.0, [64], BIG)),
        *(("num_hidden_layers", value) for value in (None, 0)),
        *(("num_attention_heads", value) for value in (None, 0)),
        *(("rms_norm_eps", value) for value in (None, "1e-5", 0, float("nan"))),
        *(("rope_theta", value) for value in (None, 0, "x")),
        *(("vocab_size", value) for value in (None, 0, ABSENT)),
        ("num_key_value_heads", 0),
        ("intermediate_size", None),
        ("head_dim", "16"),
        ("rope_scaling", 7),
        ("layer_types", 7),
        ("architectures", 7),
        ("quantization", "4bit"),
        ("quantization", False),
        ("quantization_config", 7),
        ("text_config", [1]),
        ("eos_token_id", "2"),
        ("max_position_embeddings", "512"),
    ],
)
def test_a_value_that_cannot_be_is_named(model, key, value):
    message = refusal(edit(model, "config.json", **{key: value}))
    assert "config.json" in message
    assert f'"{key}"' in message


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"quantization": {}}, '"quantization.group_size" is null'),
        ({"quantization": {"group_size": 64, "bits": 3.5}}, '"quantization.bits" is 3.5'),
        ({"quantization_config": {"bits": 4}}, '"quantization_config.quant_method" is null'),
        ({"rope_scaling": YARN_WITHOUT_FACTOR}, 'there is no "factor"'),
        ({"rope_scaling": {"type": "nope"}}, "Unsupported RoPE type nope"),
        ({"num_hidden_layers": 3}, "model.layers.2.input_layernorm.weight"),
        ({"num_hidden_layers": 1}, "model.layers.1.input_layernorm.weight"),
        ({"vocab_size": 300}, "model.embed_tokens.weight"),
        ({"model_type": "unheard_of"}, "unheard_of"),
    ],
)
def test_what_does_not_fit_is_said(model, changes, what):
    assert what in refusal(edit(model, "config.json", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"max_position_embeddings": None},
        {"tie_word_embeddings": None},
        {"attention_bias": None},
        {"hidden_act": None},
        {"torch_dtype": 7},
        {"eos_token_id": None},
        {"architectures": None},
        {"quantization": None},
        {"text_config": {}},
    ],
)
def test_null_where_it_says_nothing_does_no_harm(model, changes):
    """The library that reads tokenizers would refuse some of these, though they are none of its business."""
    assert opened(edit(model, "config.json", **changes)).vocab_size == VOCAB


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer_class", 7),
        ("bos_token", 7),
        ("eos_token", ["a"]),
        ("model_max_length", "x"),
        ("added_tokens_decoder", 7),
        ("additional_special_tokens", 7),
        ("extra_special_tokens", ["a", 7]),
        ("chat_template", 7),
        ("chat_template_type", 7),
    ],
)
def test_a_tokenizer_s_setting_that_cannot_be_is_named(model, key, value):
    assert f'tokenizer_config.json: "{key}" is ' in refusal(edit(model, "tokenizer_config.json", **{key: value}))


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json", "hf_quant_config.json", "generation_config.json"])
@pytest.mark.parametrize("content", ["[]", "junk", "", "7"])
def test_a_file_beside_that_is_no_object_is_named(model, name, content):
    (model / name).write_text(content)
    assert f"{name} is not " in refusal(model)


def test_a_file_that_would_block_its_reader(model):
    os.mkfifo(model / "added_tokens.json")
    assert "added_tokens.json is no regular file" in refusal(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.clear(),
        lambda values: values.update(model=None),
        lambda values: values.update(added_tokens=None),
        lambda values: values["model"].update(merges=None),
        lambda values: values["model"]["vocab"].update(zz=-1),
        lambda values: values["model"].update(type="Nope"),
    ],
    ids=["empty", "no model", "no added tokens", "no merges", "negative id", "unknown kind"],
)
def test_a_tokenizer_that_is_none(model, change):
    assert "the tokenizer cannot be read from tokenizer.json, tokenizer_config.json: " in refusal(edit_tokenizer(model, change))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda weights: weights.pop("model.norm.weight"), "model.norm.weight"),
        (lambda weights: weights.update({"extra.weight": np.ones(3, np.float32)}), "extra.weight"),
        (lambda weights: weights.update({"model.norm.weight": np.ones(65, np.float32)}), "(65,) for parameter model.norm.weight"),
    ],
    ids=["missing", "extra", "shape"],
)
def test_a_tensor_that_does_not_fit_is_named(model, change, what):
    weights = load_file(model / "model.safetensors")
    change(weights)
    save_file(weights, model / "model.safetensors")
    assert what in refusal(model)


def test_a_copy_of_the_weights_changes_nothing_and_is_said(model):
    clean = opened(model)
    weights = {name: value * 0.5 for name, value in load_file(model / "model.safetensors").items()}
    save_file(weights, model / "model copy.safetensors", metadata={"format": "mlx"})
    loaded = opened(model)
    assert loaded.facts.warnings == ["beside the weights, model copy.safetensors is not read"]
    assert loaded.facts.weight_files == ["model.safetensors"]
    assert (loaded.model.model.norm.weight == clean.model.model.norm.weight).all().item()


def test_links_are_as_good_as_files(model, tmp_path):
    store = tmp_path / "blobs"
    store.mkdir()
    for path in list(model.iterdir()):
        path.rename(store / path.name)
        path.symlink_to(os.path.relpath(store / path.name, model))
    assert opened(model).vocab_size == VOCAB


def test_end_tokens_of_every_file_and_of_the_template(model):
    edit(model, "config.json", eos_token_id=0)
    edit(model, "generation_config.json", eos_token_id=[7, VOCAB + 5])
    edit(model, "tokenizer_config.json", eos_token=SPECIALS[0])
    loaded = opened(model)
    assert loaded.end_tokens == {0, 7, 256, EOS}
    assert {token.id: token.origins for token in loaded.facts.end_tokens} == {
        0: ['config.json "eos_token_id"'],
        7: ['generation_config.json "eos_token_id"'],
        256: ['tokenizer_config.json "eos_token"'],
        EOS: ['the end of a turn in tokenizer_config.json "chat_template"'],
    }
    assert [warning for warning in loaded.facts.warnings if f"the end token {VOCAB + 5} (generation_config.json" in warning]


@pytest.mark.parametrize("mode", MODES)
async def test_the_template_s_own_end_ends_an_answer_whatever_the_files_say(tmp_path, mode):
    model = make_scripted_model(tmp_path / "model", "abc")
    edit(model, "config.json", eos_token_id=IM_START)
    edit(model, "generation_config.json", eos_token_id=IM_START)
    edit(model, "tokenizer_config.json", eos_token=SPECIALS[1])
    async with in_thread() as link:
        ready = await link.load(model, **MODES[mode])
        assert isinstance(ready, Ready)
        last = await link.ask("a", "hi", max_tokens=50)
        assert (last.reason, link.text("a")) == (FinishReason.STOP, "abc")


async def test_a_model_without_a_template_completes_text(model):
    edit(model, "tokenizer_config.json", chat_template=ABSENT)
    async with in_thread() as link:
        ready = await link.load(model)
        assert (ready.facts.chat_template, ready.facts.warnings) == (None, [])
        refused = await link.ask("chat", "hi")
        assert (refused.error.code, refused.error.param) == ("invalid_request", "messages")
        assert (await link.ask("text", text("hi"), max_tokens=2)).reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{% for m in messages %}{{ m.content }", "is broken: line 1"),
        ("{{ messages[0].content | nosuch }}", "is broken: line 1: No filter named 'nosuch'"),
        ("{{ 1/0 }}", "ZeroDivisionError"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "RecursionError"),
        ("{% for i in range(100000000) %}{% endfor %}", "Range too big"),
        ("{{ raise_exception('never') }}", "never"),
    ],
)
async def test_a_template_that_fails_is_a_warning_at_load_and_the_request_s_error(model, template, what):
    edit(model, "tokenizer_config.json", chat_template=template)
    async with in_thread() as link:
        ready = await link.load(model)
        assert re.search(rf"chat requests may be refused.*{re.escape(what)}", ready.facts.warnings[0])
        refused = await link.ask("chat", "hi")
        assert (refused.error.code, refused.error.param) == ("invalid_request", "messages")
        assert what in refused.error.message
        assert 'tokenizer_config.json "chat_template"' in refused.error.message
        assert (await link.ask("text", text("hi"), max_tokens=2)).reason is FinishReason.LENGTH


async def test_a_template_that_wants_a_system_message_is_fine(model):
    wants = "{% if messages[0].role != 'system' %}{{ raise_exception('system first') }}{% endif %}" + CHAT_TEMPLATE
    assert opened(edit(model, "tokenizer_config.json", chat_template=wants)).facts.warnings == []


async def test_a_tokenizer_that_knows_more_than_the_model(model):
    def add(values):
        values["added_tokens"].append(values["added_tokens"][0] | {"id": VOCAB, "content": "<|more|>"})

    edit_tokenizer(model, add)
    async with in_thread() as link:
        ready = await link.load(model)
        assert (ready.vocab_size, len(ready.facts.warnings)) == (VOCAB, 1)
        assert f"the tokenizer knows tokens up to {VOCAB}, the model has {VOCAB}" in ready.facts.warnings[0]
        refused = await link.ask("beyond", text("a<|more|>"))
        assert refused.error.message == f"token {VOCAB} at position 1 is outside the vocabulary of {VOCAB}"
        assert (await link.ask("within", text("a"), max_tokens=2)).reason is FinishReason.LENGTH


@pytest.mark.parametrize("mode", MODES)
async def test_what_cannot_compute_never_becomes_ready(model, mode):
    async with in_thread() as link:
        failed = await link.load(edit(model, "config.json", rms_norm_eps=None), **MODES[mode])
    assert isinstance(failed, LoadFailed)
    assert failed.error.code == "model_source"
    assert 'config.json has "rms_norm_eps": null' in failed.error.message
