"""Values in config.json with which a model loads without any error, and answers nonsense; and those that stop it with a riddle."""

import json
import math

import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.runtime.loading import load
from mlxd.worker.text.chat_template import Conversation
from tests.support.tiny_model import VOCAB, make_tiny_model


@pytest.fixture
def model(tmp_path):
    return make_tiny_model(tmp_path)


def opened(model, **changes):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return load(model, dtype="auto", context_limit=None)


def refusal(model, **changes):
    with pytest.raises(ModelSourceError) as caught:
        opened(model, **changes)
    return caught.value.message


@pytest.mark.parametrize("value", ["false", "true", "", [False], {}])
@pytest.mark.parametrize("key", ["tie_word_embeddings", "attention_bias", "rope_traditional"])
def test_what_is_neither_true_nor_false_is_named(model, key, value):
    message = refusal(model, **{key: value})
    assert f'{model}/config.json: "{key}" is {json.dumps(value)}; expected true or false' in message


@pytest.mark.parametrize("value", [False, 0, None])
def test_what_python_takes_for_false_is_false(model, value):
    assert opened(model, tie_word_embeddings=value, attention_bias=value).vocab_size == VOCAB


@pytest.mark.parametrize("value", ["4", 0, -2.0, True, [2], math.nan, math.inf])
@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_a_factor_of_rotary_positions_that_cannot_be_is_named(model, key, value):
    message = refusal(model, **{key: {"rope_type": "linear", "factor": value}})
    assert f'config.json: "{key}.factor" is {json.dumps(value)}; expected a number above zero' in message


def test_a_factor_for_one_kind_of_layer_is_named_too(model):
    message = refusal(model, rope_parameters={"full_attention": {"rope_type": "linear", "factor": "8"}, "sliding_attention": {}})
    assert '"rope_parameters.full_attention.factor" is "8"' in message


@pytest.mark.parametrize("scaling", [{"type": "linear", "factor": 2}, {"rope_type": "default", "factor": None}, {"mrope": [1, 2]}, {}])
def test_rotary_positions_that_can_be(model, scaling):
    assert opened(model, rope_scaling=scaling).vocab_size == VOCAB


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["rms_norm_eps", "rope_theta"])
def test_what_is_infinite_or_no_number_is_named(model, key, value):
    assert f'config.json: "{key}" is {json.dumps(value)}; expected a finite number' in refusal(model, **{key: value})


def test_limits_in_lists_may_be_infinite(model):
    """As the time steps of state space models are."""
    assert opened(model, time_step_limit=[0.0, math.inf]).vocab_size == VOCAB


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size"])
def test_a_count_below_zero_is_named(model, key):
    assert f'config.json has "{key}": -4' in refusal(model, **{key: -4})


def test_a_context_beyond_all_reason_is_said_where_another_is_assumed(model):
    context = opened(model, max_position_embeddings=10**12).facts.warnings[0]
    assert '(config.json "max_position_embeddings" is 1000000000000)' in context
    assert "4096 tokens are assumed" in context


def test_who_names_an_end_token_twice_is_named_once(model):
    (token,) = opened(model, eos_token_id=[258, 258]).facts.end_tokens
    assert token.origins.count('config.json "eos_token_id"') == 1


_PARTS = (
    "{% for message in messages %}<|im_start|>"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}"
    "{% endfor %}"
)


def test_a_template_that_passes_over_what_users_say_is_a_warning(model):
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": "<|im_start|>assistant\n"}))
    assert [warning for warning in opened(model).facts.warnings if "does not show what a user's message says" in warning]


def test_a_template_that_wants_messages_in_parts_gets_them_so(model):
    """As many templates of models that see do."""
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": _PARTS}))
    loaded = opened(model)
    assert loaded.facts.warnings == []
    conversation = Conversation([{"role": "system", "content": "brief"}, {"role": "user", "content": "hello"}])
    assert loaded.chat.renderer.render(conversation) == "<|im_start|>brief<|im_start|>hello"


@pytest.mark.parametrize("shown", ["message.content | upper", "message.content | trim"])
def test_a_template_that_shows_it_in_its_own_way_is_fine(model, shown):
    path = model / "tokenizer_config.json"
    template = f"{{% for message in messages %}}<|im_start|>{{{{ {shown} }}}}{{% endfor %}}"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    assert opened(model).facts.warnings == []
