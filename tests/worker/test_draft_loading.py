"""A model with a draft model, from the order on: what it needs, what is told of it, and which pairs are refused before they serve."""

import json

import pytest

from mlxd.errors import DraftModelError, ModelSourceError, ModelUnreachableError
from mlxd.types import ResolvedLimits
from mlxd.worker.runtime.start import start_model
from tests.support.architectures import ARCHITECTURES
from tests.support.tiny_model import make_tiny_model
from tests.worker.worker_link import load_message

PAGED = {"mode": "continuous", "cache_kind": "paged", "block_size": 8}
CACHE = 2**22
LAYER = 2 * 2 * 16 * 4  # bytes of a token's keys and values in one layer of a tiny model


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("models") / "target", num_hidden_layers=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("models") / "small", num_hidden_layers=1, max_position_embeddings=256)


def start(target, draft, permit=lambda needs: needs.cache, **changes):
    order = load_message(target, draft=str(draft), cache_bytes=CACHE, **(PAGED | changes))
    return start_model(order, ResolvedLimits.of(order.limits, CACHE), lambda *_: None, permit)


def refusal(target, draft, **changes):
    with pytest.raises(ModelSourceError) as refused:
        start(target, draft, **changes)
    assert str(target) in refused.value.message
    assert str(draft) in refused.value.message
    return refused.value


def test_both_models_are_in_what_it_needs_and_holds(target, small):
    asked = []

    def permit(needs):
        asked.append(needs)
        return needs.cache

    model = start(target, small, permit)
    draft = model.ready.facts.draft
    assert (draft.source, draft.dtype, draft.context_length) == (str(small), "float32", 256)
    weights = model.ready.weight_bytes + draft.weight_bytes
    assert 0 < draft.weight_bytes < model.ready.weight_bytes
    assert (asked[0].weights, asked[0].cache) == (weights, CACHE)
    held = model.runner.memory()
    assert (held.weights + held.draft, held.draft) == (weights, draft.weight_bytes)


def test_the_log_says_of_which_model_it_tells_what(target, small, caplog):
    caplog.set_level("INFO")
    start(target, small)
    for name in ("the model", "the draft model"):
        for told in ("attention by rows is used", "decode steps are not compiled"):
            assert sum(message.startswith(f"{name}: {told}") for message in caplog.messages) == 1


def test_a_cache_of_both_models_keys_and_values_holds_fewer_blocks(target, small):
    order = load_message(target, cache_bytes=CACHE, **PAGED)
    alone = start_model(order, ResolvedLimits.of(order.limits, CACHE), lambda *_: None, lambda needs: needs.cache)
    both = start(target, small)
    assert alone.ready.facts.draft is None
    assert both.runner.cache().kept.free == CACHE // (8 * 4 * LAYER) < alone.runner.cache().kept.free  # three layers and one more
    assert both.runner.cache().limit_bytes == CACHE


@pytest.mark.parametrize("changes", [{"mode": "simple", "cache_kind": "entries"}, {"cache_kind": "entries"}, {"cache_kind": "none"}])
def test_only_a_paged_cache_can_verify(target, small, changes):
    assert "only continuous batching over a paged cache" in refusal(target, small, **changes).message


def test_another_vocabulary_is_refused_before_any_memory_is_asked_for(target, tmp_path):
    other = make_tiny_model(tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["added_tokens"][1]["content"] = "<|turn|>"
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))

    def permit(_needs):
        pytest.fail("memory was asked for")

    error = refusal(target, other, permit=permit)
    assert isinstance(error, DraftModelError)
    assert 'token 257 is "<|turn|>" there and "<|im_start|>" here' in error.message


def test_an_embedding_that_is_padded_goes_with_one_that_is_not(target, tmp_path):
    assert start(target, make_tiny_model(tmp_path / "wide", vocab_size=320)).ready.facts.draft


def test_one_that_lacks_tokens_is_refused(target, tmp_path):
    error = refusal(target, make_tiny_model(tmp_path / "narrow", vocab_size=200))
    assert isinstance(error, DraftModelError)
    assert "it knows 200 tokens, less than the 259" in error.message


def test_a_draft_model_that_is_not_there_is_named_with_the_model_it_is_for(target, tmp_path):
    error = refusal(target, tmp_path / "nowhere")
    assert isinstance(error, ModelUnreachableError)
    assert f"the draft model {tmp_path / 'nowhere'} of {target}" in error.message


def test_one_that_is_damaged_is_named_likewise(target, tmp_path):
    damaged = make_tiny_model(tmp_path / "damaged")
    (damaged / "config.json").write_text("{")
    assert f"the draft model {damaged} of {target}" in refusal(target, damaged).message


def test_recurrent_states_cannot_be_rewound_on_either_side(target, small, tmp_path):
    recurrent = make_tiny_model(tmp_path / "recurrent", **ARCHITECTURES["mamba2"].config)
    message = refusal(target, recurrent).message
    assert f"{recurrent} keeps recurrent states" in message
    assert message.endswith("remove speculation.draft")  # no kind would help: a draft model is loaded whatever it says
    assert f"{recurrent} keeps recurrent states" in refusal(recurrent, small).message


def test_a_model_that_cannot_be_paged_is_no_draft_model_and_has_none(target, small, tmp_path):
    other = make_tiny_model(tmp_path / "other", **ARCHITECTURES["deepseek_v41"].config)
    assert f"{other} cannot compute over a paged cache" in refusal(target, other).message
    assert f"{other} is not paged" in refusal(other, small).message
