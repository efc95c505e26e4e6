"""Weights of every kind that can be, and errors by name for those that cannot."""

import json

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from safetensors.numpy import load_file, save_file

from mlxd.errors import ModelSourceError
from mlxd.types import Task
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.architectures import ARCHITECTURES
from mlxd.worker.runtime.encoding import attending
from mlxd.worker.runtime.encoding.known import KNOWN
from mlxd.worker.runtime.encoding.loading import open_encoder
from tests.encoding.texts import PAIRS, TEXTS
from tests.unit.worker_facts.encoding.copies import GONE, copied, edit
from tests.worker.encoding.rig import CLOSE, DATA, inputs_of, load, pairs_of, references, worst

BITS, GROUP = 8, 32


def test_what_is_said_to_be_known_can_be_made():
    assert tuple(KNOWN) == ARCHITECTURES


def changed(directory, change, file="model.safetensors"):
    """Writes the weights anew, as ``change`` returns them."""
    weights = change(load_file(directory / file))
    save_file(weights, directory / file)
    return directory


def quantized(directory, prefix=""):
    """Packs a model's matrices as MLX does, and returns it with the values that are left of them: of those alone they can be told."""
    weights, rounded = {}, {}
    for name, value in load_file(directory / "model.safetensors").items():
        rounded[name] = value
        if value.ndim != 2 or value.shape[1] % GROUP or "position" in name or "token_type" in name:
            weights[prefix + name] = mx.array(value)
            continue
        packed = mx.quantize(mx.array(value), group_size=GROUP, bits=BITS)
        stem = prefix + name.removesuffix(".weight")
        weights |= {f"{stem}.{part}": array for part, array in zip(("weight", "scales", "biases"), packed, strict=True)}
        rounded[name] = np.array(mx.dequantize(*packed, group_size=GROUP, bits=BITS))
    mx.save_safetensors(str(directory / "model.safetensors"), weights)
    edit(directory, "config.json", quantization={"group_size": GROUP, "bits": BITS})
    return rounded


@pytest.mark.parametrize("name", ["bert", "modernbert", "qwen3", "gemma"])
@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_a_quantized_model_is_the_plain_one_of_its_rounded_weights(tmp_path, name, dtype):
    packed, plain = copied(name, tmp_path / "packed"), copied(name, tmp_path / "plain")
    rounded = quantized(packed)
    changed(plain, lambda _: rounded)
    found, expected = load(packed, dtype=dtype), load(plain)
    has_packed = any(isinstance(module, nn.QuantizedLinear) for module in found.model.modules())
    assert has_packed == (dtype != "auto")
    assert found.dtype == ("float32" if dtype == "auto" else "bfloat16")
    difference = worst(found.vectors(inputs_of(found, TEXTS)), expected.vectors(inputs_of(expected, TEXTS)))
    assert difference < (CLOSE if dtype == "auto" else 0.2)


def test_embeddinggemma_as_converters_write_it(tmp_path):
    """Without modules, its linear layers among the weights, which are quantized, too."""
    directory = copied("gemma", tmp_path)

    def merged(weights):
        weights = {f"model.{name}": value for name, value in weights.items()}
        for number in (0, 1):
            weights[f"dense.{number}.weight"] = load_file(directory / f"{number + 2}_Dense" / "model.safetensors")["linear.weight"]
        return weights

    changed(directory, merged)
    (directory / "modules.json").unlink()
    found, expected = load(directory), references(DATA / "gemma")["vectors"]
    assert worst(found.vectors(inputs_of(found, TEXTS)), expected) < CLOSE
    quantized(directory)
    found = load(directory)
    assert worst(found.vectors(inputs_of(found, TEXTS)), expected) < 0.1


def test_weights_below_the_name_of_a_model_and_those_of_a_head_that_nobody_needs(tmp_path):
    def saved_with_a_head(weights):
        others = {"cls.predictions.bias": np.zeros(3, np.float32), "bert.embeddings.position_ids": np.zeros((1, 4), np.int64)}
        return {f"bert.{name}": value for name, value in weights.items()} | others

    directory = changed(copied("bert", tmp_path), saved_with_a_head)
    found = load(directory)
    assert worst(found.vectors(inputs_of(found, TEXTS)), references(DATA / "bert")["vectors"]) < CLOSE


def test_attention_in_pieces_is_attention_at_once(monkeypatch):
    monkeypatch.setattr(attending, "_SCORES", 2_000)
    for name in ("modernbert", "mpnet", "qwen3", "gemma"):
        found = load(DATA / name)
        assert worst(found.vectors(inputs_of(found, TEXTS)), references(DATA / name)["vectors"]) < CLOSE


def test_scores_by_the_tokens_that_a_configuration_names(tmp_path):
    directory = edit(copied("qwen3_reranker", tmp_path), "config.json", classifier_from_token=["no", "yes"])
    found = load(directory)
    assert worst(found.scores(pairs_of(found, PAIRS)), references(DATA / "qwen3_reranker")["scores"]) < CLOSE


def _old_config(name, tmp_path, **values):
    gone = dict.fromkeys(("rope_parameters", "layer_types"), GONE)
    return load(edit(copied(name, tmp_path), "config.json", **gone, **values))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("modernbert", {"global_rope_theta": 160000.0, "local_rope_theta": 10000.0, "global_attn_every_n_layers": 3}),
        ("gemma", {"rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "sliding_window_pattern": 3, "rope_scaling": None}),
        ("qwen3", {"rope_theta": 10000.0, "rope_scaling": None, "sliding_window": None}),
    ],
)
def test_configurations_as_older_releases_write_them(tmp_path, name, values):
    found = _old_config(name, tmp_path, **values)
    assert worst(found.vectors(inputs_of(found, TEXTS)), references(DATA / name)["vectors"]) < CLOSE


def test_the_rotation_is_that_of_the_configuration(tmp_path):
    """Else a base that is read from nowhere would be no different from the default."""
    found = _old_config("modernbert", tmp_path, global_rope_theta=500.0, local_rope_theta=20.0)
    assert worst(found.vectors(inputs_of(found, TEXTS)), references(DATA / "modernbert")["vectors"]) > 100 * CLOSE


def test_texts_in_lower_case_where_the_files_want_them_so(tmp_path):
    plain, lower = load(DATA / "xlm_roberta"), copied("xlm_roberta", tmp_path)
    lowered = load(edit(lower, "sentence_bert_config.json", do_lower_case=True))
    assert inputs_of(lowered, ["UPPER Größe"]) == inputs_of(plain, ["upper größe"]) != inputs_of(plain, ["UPPER Größe"])


def test_nomicbert_as_its_authors_write_its_configuration(tmp_path):
    names = {"hidden_size": "n_embd", "intermediate_size": "n_inner", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer"}
    config = json.loads((DATA / "nomic_bert" / "config.json").read_text())
    theirs = {new: config[old] for old, new in names.items()} | {"rotary_emb_base": 1000, "activation_function": "swiglu", "prenorm": False}
    without = dict.fromkeys((*names, "rope_parameters", "hidden_act", "layer_norm_eps"), GONE)
    directory = edit(copied("nomic_bert", tmp_path), "config.json", **without, **theirs, max_trained_positions=128)
    found = load(directory)
    assert worst(found.vectors(inputs_of(found, TEXTS)), references(DATA / "nomic_bert")["vectors"]) < CLOSE
    assert (found.context_length, found.facts.most_tokens_origin) == (128, 'config.json "max_trained_positions"')


def test_nomicbert_with_queries_keys_and_values_apart(tmp_path):
    def apart(weights):
        whole = {name: value for name, value in weights.items() if "Wqkv" not in name}
        for name, value in weights.items():
            for which, part in zip("qkv", np.split(value, 3) if "Wqkv" in name else (), strict=False):
                whole[name.replace("encoder.", "").replace("attn.Wqkv", f"self_attn.{which}_proj")] = np.ascontiguousarray(part)
        return whole

    found = load(changed(copied("nomic_bert", tmp_path), apart))
    assert worst(found.vectors(inputs_of(found, TEXTS)), references(DATA / "nomic_bert")["vectors"]) < CLOSE


def _without(part):
    return lambda weights: {name: value for name, value in weights.items() if part not in name}


def _not_a_number(weights):
    name = next(name for name in weights if name.endswith("attention.output.dense.weight"))
    return weights | {name: np.full_like(weights[name], np.nan)}


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("bert", _without("layer.1.output.dense.bias"), r"lack encoder.layers.1.outer.bias; fetch"),
        ("bert", lambda weights: weights | {"adapter.weight": np.ones(2, np.float32)}, r"hold adapter.weight, which the architecture"),
        ("bert_reranker", _without("classifier"), r"lack head.last.bias, head.last.weight"),
        ("qwen3", _without("layers.0.mlp"), r"lack encoder.inner.layers.0.mlp"),
        ("bert", _not_a_number, r"encoder.layers.0.attention.output.weight holds values that are infinite or not a number"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, name, change, said):
    with pytest.raises(ModelSourceError, match=said):
        load(changed(copied(name, tmp_path), change))


@pytest.mark.parametrize(
    ("name", "file", "values", "said"),
    [
        ("bert", "config.json", {"hidden_size": 30}, r'"num_attention_heads" is 4; expected a divisor of the 30'),
        (
            "bert",
            "config.json",
            {"intermediate_size": 47},
            r"the weight encoder.layers.0.inner.weight has the shape \(48, 32\); by config.json",
        ),
        ("bert", "config.json", {"hidden_act": "swish7"}, r'"hidden_act" is "swish7"'),
        ("bert", "config.json", {"position_embedding_type": "relative_key"}, r'"position_embedding_type" is "relative_key"'),
        ("bert", "config.json", {"model_type": "electra"}, r'"model_type" is "electra"; expected one of bert, '),
        ("bert", "config.json", {"quantization_config": {"quant_method": "awq"}}, "awq"),
        ("bert", "1_Pooling/config.json", {"word_embedding_dimension": 64}, "pooling is of vectors of 64 numbers, and the model's have 32"),
        ("modernbert", "config.json", {"layer_types": ["full_attention"]}, r'"layer_types".*expected a list of 5'),
        ("gemma", "config.json", {"use_bidirectional_attention": False}, r'"use_bidirectional_attention" is false'),
        ("gemma", "config.json", {"layer_types": ["full_attention", "sliding_attention"] * 2}, r'"layer_types"'),
        ("qwen3", "config.json", {"is_causal": False}, r'"is_causal" is false'),
        ("qwen3", "config.json", {"auto_map": {"AutoModel": "mine.Qwen3Model"}}, r'"auto_map.AutoModel" is "mine.Qwen3Model"'),
        ("nomic_bert", "config.json", {"prenorm": True}, r'"prenorm" is true; expected false'),
        ("nomic_bert", "config.json", {"num_experts": 8}, r'"num_experts" is 8; expected none'),
        ("nomic_bert", "config.json", {"rotary_emb_fraction": 0.5}, r'"rotary_emb_fraction" is 0.5; expected 1'),
    ],
)
def test_what_cannot_be_loaded_is_named(tmp_path, name, file, values, said):
    with pytest.raises(ModelSourceError, match=said):
        load(edit(copied(name, tmp_path), file, **values), Task.EMBED)


def test_a_token_that_scores_and_is_not_there_is_named(tmp_path):
    directory = edit(copied("qwen3_reranker", tmp_path), "config.json", classifier_from_token=["nay", "yes"])
    with pytest.raises(ModelSourceError, match='no token "nay"'):
        load(directory)


def test_opening_reads_no_weights_and_knows_their_bytes():
    opened = open_encoder(DirectoryFacts.read(DATA / "bert"), Task.EMBED, dtype="auto", context_limit=64)
    stored = load_file(DATA / "bert" / "model.safetensors")
    assert opened.weight_bytes == sum(value.nbytes for name, value in stored.items() if "pooler" not in name)
    assert (opened.context.length, opened.directory.directory) == (64, DATA / "bert")


def test_a_module_that_sentence_transformers_does_not_have_is_never_run(tmp_path):
    directory = copied("bert", tmp_path)
    listed = json.loads((directory / "modules.json").read_text())
    listed[0]["type"] = "modeling.Transformer"
    (directory / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ModelSourceError, match="runs no code that comes with a model"):
        load(directory)
