"""What files say of vectors and scores, and what in them cannot be."""

import json

import pytest

from mlxd.errors import ConfigError, ModelSourceError
from mlxd.types import Task
from mlxd.worker.facts.encoding.layers import Activation, DenseLayer
from mlxd.worker.facts.encoding.longest import wished_longest
from mlxd.worker.facts.encoding.pooling import PoolingMode
from mlxd.worker.facts.encoding.scoring import ScoreKind
from tests.unit.worker_facts.encoding.copies import DATA, GONE, copied, described, edit


def test_pooling_layers_and_the_length_of_vectors():
    found = described(DATA / "bert_modes")
    assert found.pooling.modes == tuple(PoolingMode)
    assert not found.pooling.with_prompt
    first, _, last = found.path.layers
    assert (first.inputs, first.outputs, first.activation, last.residual) == (192, 24, Activation.TANH, True)
    assert not found.path.normalized
    assert found.prompts == {"query": "query: ", "document": ""}
    assert described(DATA / "bert").path.normalized


def test_pooling_by_the_names_of_new_releases(tmp_path):
    settings = {"pooling_mode": ["mean", "lasttoken"], "embedding_dimension": 32}
    directory = copied("bert", tmp_path)
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    pooling = described(directory).pooling
    assert (pooling.name, pooling.origin, pooling.width) == ("mean+lasttoken", '1_Pooling/config.json "pooling_mode"', 32)


def test_without_modules_an_encoder_is_pooled_by_the_mean_and_a_decoder_by_its_last_token():
    bare = described(DATA / "distilbert").pooling
    assert (bare.name, bare.origin) == ("mean", "no file says how; modules.json is missing")
    assert described(DATA / "qwen3_reranker", Task.EMBED).pooling.name == "lasttoken"


@pytest.mark.parametrize(
    ("settings", "config", "length", "origin"),
    [
        ({}, {}, 100, 'sentence_bert_config.json "max_seq_length"'),
        ({"max_seq_length": GONE}, {}, 128, 'config.json "max_position_embeddings"'),
        ({"max_seq_length": 128}, {}, 128, 'sentence_bert_config.json "max_seq_length"'),
    ],
)
def test_the_longest_text(tmp_path, settings, config, length, origin):
    directory = edit(copied("bert", tmp_path), "sentence_bert_config.json", **settings)
    context = described(edit(directory, "config.json", **config)).context
    assert (context.length, context.origin) == (length, origin)


def test_of_a_text_that_is_longer_than_the_model_has_positions_these_count(tmp_path):
    context = described(edit(copied("bert", tmp_path), "sentence_bert_config.json", max_seq_length=200)).context
    assert (context.length, context.origin) == (128, 'config.json "max_position_embeddings"')
    assert context.warning.startswith('sentence_bert_config.json "max_seq_length" is 200, but the model has 128 positions')


def test_the_longest_text_of_a_tokenizer_and_of_positions_behind_that_of_padding(tmp_path):
    directory = copied("xlm_roberta", tmp_path)
    assert described(directory).context.length == 256  # of 258
    assert described(edit(directory, "tokenizer_config.json", model_max_length=64)).context.length == 64


def test_the_longest_text_is_in_a_file_that_is_called_after_the_kind_of_model(tmp_path):
    directory = copied("xlm_roberta", tmp_path)
    edit(directory, "sentence_xlm-roberta_config.json", max_seq_length=99)
    assert described(directory).context.origin == 'sentence_xlm-roberta_config.json "max_seq_length"'


def test_a_longer_text_may_be_wished_for_up_to_the_positions_of_the_model():
    found = described(DATA / "bert")
    assert wished_longest(found.directory, found.context, 120).length == 120
    assert wished_longest(found.directory, found.context, 50).length == 50
    with pytest.raises(ConfigError, match="context_length = 129 is more than the 128 positions"):
        wished_longest(found.directory, found.context, 129)


def test_scores():
    assert described(DATA / "bert_reranker").scoring.sigmoid is False
    assert described(DATA / "bert_reranker").scoring.origin == 'config.json "sbert_ce_default_activation_function"'
    assert described(DATA / "xlm_roberta_reranker").scoring.sigmoid is True
    assert described(DATA / "layers_reranker").scoring.kind is ScoreKind.LAYERS
    assert described(DATA / "qwen3_classifier").scoring.kind is ScoreKind.HEAD
    assert described(DATA / "qwen3_reranker", Task.RERANK).scoring.kind is ScoreKind.TOKENS


def test_tokens_that_score_are_named_by_a_configuration_or_a_module(tmp_path):
    directory = edit(copied("qwen3_reranker", tmp_path), "config.json", classifier_from_token=["no", "yes"])
    scoring = described(directory).scoring
    assert (scoring.true, scoring.false, scoring.origin) == ("yes", "no", 'config.json "classifier_from_token"')
    kinds = {"Transformer": "", "LogitScore": "1_LogitScore"}
    listed = [{"type": f"sentence_transformers.cross_encoder.modules.{kind}", "path": path} for kind, path in kinds.items()]
    (directory / "modules.json").write_text(json.dumps(listed))
    (directory / "1_LogitScore").mkdir()
    edit(directory, "1_LogitScore/config.json", true_token_id=7)
    scoring = described(directory).scoring
    assert (scoring.true, scoring.false, scoring.origin) == (7, None, '1_LogitScore/config.json "true_token_id"')


def test_vectors_may_be_shortened_where_files_or_their_authors_say_so(tmp_path):
    assert described(DATA / "bert").least_dimension is None
    assert described(DATA / "qwen3").least_dimension == 32
    directory = edit(copied("bert", tmp_path), "config.json", matryoshka_dimensions=[32, 16, 8])
    assert described(directory).least_dimension == 8


def test_a_prompt_that_goes_before_texts_where_none_is_named(tmp_path):
    assert described(DATA / "bert_modes").default_prompt is None
    directory = edit(copied("bert_modes", tmp_path), "config_sentence_transformers.json", default_prompt_name="query")
    assert described(directory).default_prompt == "query"


def test_a_prompt_that_would_go_before_pairs_is_told_of(tmp_path):
    directory = copied("bert_reranker", tmp_path)
    (directory / "config_sentence_transformers.json").write_text('{"prompts": {"q": "query: "}, "default_prompt_name": "q"}')
    found = described(directory)
    assert found.default_prompt is None
    assert found.warnings == (
        'config_sentence_transformers.json "default_prompt_name" names the prompt "query: ": no prompt goes before pairs that are scored',
    )


@pytest.mark.parametrize(
    ("name", "file", "values", "said"),
    [
        ("bert", "1_Pooling/config.json", {"pooling_mode": "first"}, r'"pooling_mode" is "first"; expected one of cls'),
        ("bert", "1_Pooling/config.json", {"pooling_mode_mean_tokens": "yes"}, r'"pooling_mode_mean_tokens" is "yes"; expected true'),
        ("bert", "1_Pooling/config.json", {"word_embedding_dimension": 0}, r'"word_embedding_dimension" is 0'),
        ("bert", "sentence_bert_config.json", {"max_seq_length": -1}, r'"max_seq_length" is -1'),
        ("bert", "sentence_bert_config.json", {"do_lower_case": 1}, r'"do_lower_case" is 1; expected true or false'),
        ("bert_modes", "2_Dense/config.json", {"in_features": GONE}, r'has no "in_features"'),
        (
            "bert_modes",
            "2_Dense/config.json",
            {"activation_function": "os.system"},
            r'"activation_function" is "os.system"; expected a class',
        ),
        ("bert_modes", "2_Dense/config.json", {"activation_function": "mine.Tanh"}, r'"activation_function" is "mine.Tanh"'),
        ("bert_modes", "2_Dense/config.json", {"module_input_name": "token_embeddings"}, r'"module_input_name" is "token_embeddings"'),
        ("bert_modes", "2_Dense/config.json", {"use_residual": True}, r'"use_residual" is true; expected false'),
        ("bert_modes", "config_sentence_transformers.json", {"prompts": {"query": 3}}, r'"prompts.query" is 3; expected a string'),
        ("bert_modes", "config_sentence_transformers.json", {"default_prompt_name": "x"}, r'"default_prompt_name" is "x"'),
        ("bert_reranker", "config.json", {"id2label": {"0": "a", "1": "b"}}, "tells 2 labels apart"),
        ("bert_reranker", "config.json", {"id2label": GONE}, "tells 2 labels apart"),
        ("bert_reranker", "config.json", {"sbert_ce_default_activation_function": "mine.Softmax"}, r'is "mine.Softmax"; expected torch'),
        ("qwen3_classifier", "config.json", {"model_type": "llama"}, r'"model_type" is "llama"; expected qwen3'),
        ("qwen3_reranker", "config.json", {"classifier_from_token": ["yes"]}, r'"classifier_from_token" is \["yes"\]'),
        ("xlm_roberta", "config.json", {"max_position_embeddings": 2}, r'"max_position_embeddings" is 2; expected more than the 2'),
    ],
)
def test_what_cannot_be_is_named_by_file_and_key(tmp_path, name, file, values, said):
    directory = edit(copied(name, tmp_path), file, **values)
    with pytest.raises(ModelSourceError, match=said) as caught:
        described(directory)
    assert file.rpartition("/")[2] in caught.value.message


@pytest.mark.parametrize(("name", "file"), [("bert", "1_Pooling/config.json"), ("bert_modes", "2_Dense/config.json")])
def test_a_module_that_is_listed_and_not_there_is_not_guessed(tmp_path, name, file):
    """A model that pools by its first token would make vectors of the mean, and nobody would know."""
    directory = copied(name, tmp_path)
    (directory / file).unlink()
    with pytest.raises(ModelSourceError, match=rf"{file} is missing; fetch or copy the model again"):
        described(directory)


def test_weights_of_a_module_that_are_no_safetensors_are_refused_by_name(tmp_path):
    directory = copied("bert_modes", tmp_path)
    (directory / "2_Dense" / "model.safetensors").rename(directory / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ModelSourceError, match=r"2_Dense/model.safetensors is missing; pytorch_model.bin is not read"):
        described(directory)


def test_a_task_that_files_cannot_do_is_refused():
    with pytest.raises(ModelSourceError, match="no classifier, and cannot score"):
        described(DATA / "bert", Task.RERANK)
    with pytest.raises(ModelSourceError, match="give scores, and no vectors"):
        described(DATA / "layers_reranker", Task.EMBED)


def test_layers_behind_the_pooling_may_be_among_the_weights(tmp_path):
    directory = copied("gemma", tmp_path)
    for path in ("modules.json", "1_Pooling/config.json"):
        (directory / path).unlink()
    weights = _with_layers(directory)
    (directory / "model.safetensors").write_bytes(weights)
    found = described(directory)
    assert (found.pooling.name, found.path.normalized) == ("mean", True)
    assert [layer.outputs for layer in found.path.layers if isinstance(layer, DenseLayer) and layer.weights is None] == [40, 32]


def _with_layers(directory):
    from safetensors.numpy import load_file, save  # noqa: PLC0415

    whole = load_file(directory / "model.safetensors")
    for number in (0, 1):
        whole[f"dense.{number}.weight"] = load_file(directory / f"{number + 2}_Dense" / "model.safetensors")["linear.weight"]
    return save(whole)
