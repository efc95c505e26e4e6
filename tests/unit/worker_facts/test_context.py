import pytest

from mlxd.errors import ConfigError, ModelSourceError
from mlxd.worker.facts.context import ASSUMED, find_context
from tests.unit.worker_facts.directories import sources

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}


def context(directory, tokenizer=None, **config):
    return find_context(sources(directory, config=config, tokenizer=tokenizer))


@pytest.mark.parametrize(
    "key",
    ["max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_seq_length", "max_sequence_length", "seq_length", "seq_len"],
)
def test_every_name_of_the_length_is_known(tmp_path, key):
    found = context(tmp_path, **{key: 777})
    assert (found.length, found.origin, found.warning) == (777, f'config.json "{key}"', None)


@pytest.mark.parametrize("part", ["text_config", "llm_config", "language_config", "thinker_config"])
def test_the_language_model_s_own_part_counts_before_the_whole(tmp_path, part):
    found = context(tmp_path, max_position_embeddings=9, **{part: {"max_position_embeddings": 777}})
    assert (found.length, found.origin) == (777, f'config.json "{part}.max_position_embeddings"')


def test_parts_nest(tmp_path):
    assert context(tmp_path, thinker_config={"text_config": {"n_ctx": 777}}).origin == 'config.json "thinker_config.text_config.n_ctx"'


def test_a_part_without_a_length_leaves_it_to_the_whole(tmp_path):
    assert context(tmp_path, max_position_embeddings=777, text_config={"hidden_size": 8, "n_ctx": None}).length == 777


def test_a_window_is_no_context(tmp_path):
    assert context(tmp_path, sliding_window=16, max_window_layers=3, max_position_embeddings=777).length == 777


def test_of_two_lengths_the_smaller_counts_and_both_are_named(tmp_path):
    found = context(tmp_path, max_position_embeddings=2048, seq_length=512)
    assert found.length == 512
    assert '2048 (config.json "max_position_embeddings"), 512 (config.json "seq_length")' in found.warning


def test_the_tokenizer_is_asked_last(tmp_path):
    assert context(tmp_path, tokenizer={"model_max_length": 777}).origin == 'tokenizer_config.json "model_max_length"'
    assert context(tmp_path, tokenizer={"model_max_length": 128}, n_ctx=777).length == 777


@pytest.mark.parametrize("endless", [10**30, 1e30])
def test_a_tokenizer_without_a_limit_says_nothing(tmp_path, endless):
    found = context(tmp_path, tokenizer={"model_max_length": endless})
    assert (found.length, found.assumed) == (ASSUMED, True)
    assert "set context_length" in found.warning


@pytest.mark.parametrize(
    ("scaling", "length"),
    [
        (YARN, 2048),
        ({"type": "yarn", "factor": 4.0}, 2048),
        ({"type": "linear", "factor": 2}, 1024),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 512}, 512),
        ({"type": "longrope", "original_max_position_embeddings": 128, "long_factor": [1.0]}, 512),
        ({"type": "mrope", "mrope_section": [1, 2, 3]}, 512),
        ({"rope_type": "default"}, 512),
        ({"rope_type": "yarn", "factor": None}, 512),
        ({"rope_type": "yarn", "factor": "4"}, 512),
    ],
)
def test_rotary_positions_that_are_stretched_reach_further(tmp_path, scaling, length):
    assert context(tmp_path, max_position_embeddings=512, rope_scaling=scaling).length == length


def test_stretching_that_is_counted_already_is_not_counted_twice(tmp_path):
    assert context(tmp_path, max_position_embeddings=2048, rope_scaling=YARN).length == 2048
    scaling = {"rope_type": "linear", "factor": 8.0}
    assert context(tmp_path, model_type="gemma3_text", max_position_embeddings=2048, rope_scaling=scaling).length == 2048


def test_the_stretching_of_newer_files_and_of_layers_of_two_kinds(tmp_path):
    assert context(tmp_path, max_position_embeddings=512, rope_parameters={"full_attention": YARN, "sliding_attention": {}}).length == 2048


@pytest.mark.parametrize("value", [0, -1, "2048", 2048.5, True, [2048], {"a": 1}])
def test_what_is_no_length_is_named_with_file_and_key(tmp_path, value):
    with pytest.raises(ModelSourceError, match=r'config\.json: "text_config\.n_ctx" is .*; expected a whole number above zero'):
        context(tmp_path, text_config={"n_ctx": value})


@pytest.mark.parametrize("wish", [16, 777, 10**6])
def test_a_wish_is_obeyed(tmp_path, wish):
    wished = context(tmp_path, n_ctx=777).wished(wish)
    assert wished.length == wish
    assert (wished.warning is not None) == (wish > 777)


def test_without_a_wish_the_length_is_the_model_s(tmp_path):
    found = context(tmp_path, n_ctx=777)
    assert found.wished(None) is found


def test_where_nobody_knows_a_wish_needs_no_warning(tmp_path):
    assert context(tmp_path).wished(10**6).warning is None


def test_positions_in_a_table_cannot_be_exceeded(tmp_path):
    with pytest.raises(ConfigError, match=r"context_length = 1000 is more than the 777 positions"):
        context(tmp_path, n_positions=777, n_ctx=777).wished(1000)
