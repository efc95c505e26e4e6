"""Models over keys and values of 8 bits: whoever shares blocks, steps or guesses, everybody's answer is the one that they get alone."""

from dataclasses import replace

import mlx.core as mx
import pytest

from mlxd.errors import ConfigError
from mlxd.types import AttentionWay, KeyValueType, Limits, ResolvedLimits
from mlxd.worker.engine.speculation.drafter import Guesses
from mlxd.worker.engine.speculation.lookup_drafter import LookupDrafter
from mlxd.worker.engine.speculation.speculation import Speculation, most_guesses
from mlxd.worker.kv import free_extents
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.paged import key_value_choice
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.block_payloads import BlockPayloads
from mlxd.worker.runtime.paged.build import prove_model
from mlxd.worker.runtime.paged.key_value_choice import choose_key_values
from mlxd.worker.runtime.paged.quantized import quality
from mlxd.worker.runtime.paged.quantized.quantized_arenas import QuantizedArenas
from tests.worker.quantized_models import DTYPES, alone, model
from tests.worker.runner_rig import PagedRig, architecture, words

# Plain, windows, sinks and windows, layers that share keys and values, recurrent states beside.
MODELS = ["llama", "gemma3_text", "gpt_oss", "gemma4_text", "qwen3_next", "falcon_h1"]
KINDS = ["llama", "gpt_oss", "qwen3_next"]  # one of each kind of cache
BLOCK = 4

pytestmark = pytest.mark.usefixtures("any_loss")
SYSTEM = list(b"You are a helpful assistant, and you answer at length.")


@pytest.mark.parametrize("name", MODELS)
def test_all_layers_are_quantized(name):
    rig = PagedRig(model(name), kv="int8")
    assert all(isinstance(store, QuantizedArenas) for store in rig.model.stores)
    assert rig.model.kv_type.startswith("int8/")


@pytest.mark.parametrize("name", MODELS)
def test_answers_in_company_and_shared_ones_are_those_alone(name):
    prompts = {
        "a": b"once upon a time",
        "b": bytes(SYSTEM + list(b"Who?")),
        "c": b"x",
        "d": bytes(SYSTEM + list(b"Why, oh why?")),
        "e": bytes(SYSTEM),
    }
    expected = {request: alone(name, prompt, 8) for request, prompt in prompts.items()}
    rig = PagedRig(model(name), kv="int8", ahead=True)
    for request in "ab":
        rig.add(request, prompts[request], max_tokens=8)
    for _ in range(3):
        rig.step()
    for request in "cde":
        rig.add(request, prompts[request], max_tokens=8)
    rig.run()
    assert rig.tokens == expected
    tokens, started = rig.ask(prompts["d"], max_tokens=8)
    assert started.cached_tokens
    assert tokens == expected["d"]


@pytest.mark.parametrize("name", KINDS)
def test_blocks_are_moved_without_a_change(name, monkeypatch):
    monkeypatch.setattr(free_extents, "GAP", 0)
    rig = PagedRig(model(name), kv="int8", arena_blocks=64, max_arenas=1, step_tokens=64)
    prompts = {request: request.encode() * 3 for request in "ab"}
    for request, prompt in prompts.items():
        rig.add(request, prompt, max_tokens=36)
    moves = rig.watched_moves()
    rig.run()
    assert moves
    assert rig.tokens == {request: alone(name, prompt, 36) for request, prompt in prompts.items()}


@pytest.mark.parametrize("name", KINDS)
def test_preempted_ones_resume_with_the_same_tokens(name):
    prompts = {request: bytes(words(ord(request), 9)) for request in "abc"}
    rig = PagedRig(model(name), kv="int8", arena_blocks=12, max_arenas=1, snapshots=8)
    for request, prompt in prompts.items():
        rig.add(request, prompt, max_tokens=16)
    rig.run()
    assert rig.preemptions
    assert rig.tokens == {request: alone(name, prompt, 16) for request, prompt in prompts.items()}


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "gpt_oss"])
def test_what_is_guessed_and_taken_back_leaves_nothing(kind):
    prompt = bytes(words(3, 7) * 6)
    limits = ResolvedLimits(cache_bytes=2**40, draft_tokens=6)
    rig = PagedRig(model(kind), kv="int8", speculation=Speculation(limits, [LookupDrafter()]))
    assert rig.ask(prompt, max_tokens=28)[0] == alone(kind, prompt, 28)


def test_blocks_go_to_disk_and_come_back_bit_by_bit():
    rig = PagedRig(model("llama"), kv="int8", spare=1024)
    rig.ask(bytes(SYSTEM))
    stores, geometry = rig.model.stores, rig.model.geometry
    payloads = BlockPayloads(stores, geometry)
    assert payloads.block_bytes == BLOCK * rig.model.token_bytes
    copies = payloads.copy_out(range(3), stores, geometry)
    payloads.copy_in(range(40, 43), [memoryview(copy) for copy in copies], stores, geometry)
    for store in stores:
        for was, now in zip(store.read(geometry.run(range(3))), store.read(geometry.run(range(40, 43))), strict=True):
            assert mx.array_equal(was.view(mx.uint8), now.view(mx.uint8))
    as_computed = PagedRig(model("llama"))
    as_computed.ask(bytes(SYSTEM))
    assert BlockPayloads(as_computed.model.stores, geometry).layout != payloads.layout


class Drafting(Speculation):
    """Three guesses of every sequence, by the draft model."""

    def __init__(self):
        super().__init__(Limits())

    def guesses(self, decoding):
        return {one.id: Guesses(min(3, most_guesses(one, 9))) for one in decoding if not one.in_flight and most_guesses(one, 9)}


def test_a_draft_model_keeps_its_own_type():
    """Its keys and values lie in the same blocks; whatever it guesses, the answer is the one without."""
    small = architecture("llama")
    draft = DraftModel(small, prove_model(small, BLOCK).model)
    rig = PagedRig(model("llama"), kv="int8", draft=draft, speculation=Drafting())
    prompts = {request: bytes([*SYSTEM, *words(ord(request), 5)]) for request in "ab"}
    for request, prompt in prompts.items():
        rig.add(request, prompt, max_tokens=16)
    rig.run()
    assert sum(report.drafts for report in rig.reports)
    assert rig.tokens == {request: alone("llama", prompt, 16) for request, prompt in prompts.items()}


@pytest.mark.parametrize(("kind", "dtype"), [("llama", "float16"), ("gemma3_text", "bfloat16")])
def test_models_in_half_precision(kind, dtype):
    """Rounding differs by the shape of a product: the first tokens are those alone, and blocks that are found are as good as computed."""
    prompts = {request: bytes([*SYSTEM, *SYSTEM, *words(ord(request), 5)]) for request in "abc"}
    rig = PagedRig(model(kind, dtype), kv="int8")
    first = {request: rig.ask(prompt, max_tokens=4)[0] for request, prompt in prompts.items()}
    again = {request: rig.ask(prompt, max_tokens=4) for request, prompt in prompts.items()}
    assert {store.dtype for store in rig.model.stores} == {DTYPES[dtype]}
    assert all(started.cached_tokens > 80 for _, started in again.values())
    assert {request: tokens for request, (tokens, _) in again.items()} == first


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "gpt_oss"])
def test_gathering_gives_the_same_tokens(kind):
    prompts = {request: bytes([*SYSTEM, *words(ord(request), 5)]) for request in "abcd"}
    expected = {request: alone(kind, prompt, 8) for request, prompt in prompts.items()}
    rig = PagedRig(model(kind), kv="int8")
    rig.model.ways.regions = Regions(usual=AttentionWay.GATHER, most_copied=2**30)
    try:
        for request, prompt in prompts.items():
            rig.add(request, prompt, max_tokens=8)
        rig.run()
        assert rig.tokens == expected
    finally:
        rig.model.ways.regions = Regions()


def held_by_ten(kv, *, shares):
    """The bytes that ten users of 500 and 180 tokens hold, all of whom have begun to get answers, and those that are allocated for them."""
    loaded = model("llama", max_position_embeddings=1024)
    rig = PagedRig(loaded, kv=kv, block_size=16, arena_blocks=16, max_arenas=64, step_tokens=4096)
    for user in range(10):
        rig.add(str(user), [*words(1 if shares else 100 + user, 500), *words(200 + user, 180)], max_tokens=60)
    while len(rig.tokens) < 10:
        rig.step()
    assert len(rig.model.tensors()) == sum(store.count * (4 if kv == "int8" else 2) for store in rig.model.stores)
    return rig.manager.counts().used * 16 * rig.model.token_bytes, sum(tensor.nbytes for tensor in rig.model.tensors())


def test_ten_users_of_one_prompt_hold_a_tenth_of_what_they_would_alone_in_float32():
    plain_in_use, plain_allocated = held_by_ten("model", shares=False)
    in_use, allocated = held_by_ten("int8", shares=True)
    assert in_use < 0.096 * plain_in_use, in_use / plain_in_use
    assert allocated < 0.1 * plain_allocated, allocated / plain_allocated


def chosen(loaded, wish="int8"):
    return choose_key_values(loaded, prove_model(loaded, BLOCK), wish)


def test_what_each_kind_of_layer_is_stored_as_is_told(caplog):
    facts = chosen(model("gemma4_text", global_head_dim=80, num_kv_shared_layers=0)).facts
    (windowed, full) = sorted(facts.layers, key=lambda one: one.key_dim)
    assert (windowed.type, windowed.group, windowed.window) == (KeyValueType.INT8, 64, 8)
    assert (full.type, full.group, full.window) == (KeyValueType.MODEL, None, None)
    assert full.reason == "heads of 80 and 80 elements are no multiples of 32"
    assert facts.token_bytes < facts.plain_token_bytes
    assert facts.quality.tokens == 100
    assert "keys and values of 2 layers stay in the model's type: heads of 80 and 80 elements" in caplog.text


@pytest.mark.parametrize(("dim", "group"), [(128, 64), (96, 32), (32, 32)])
def test_groups_fit_the_heads(dim, group):
    chosen_now = chosen(model("llama", head_dim=dim))
    facts = chosen_now.facts
    assert [one.group for one in facts.layers] == [group]
    assert facts.token_bytes == chosen_now.proved.model.token_bytes == 2 * 2 * 2 * (dim + 4 * dim // group)
    assert facts.plain_token_bytes == 2 * 2 * 2 * 4 * dim


def test_the_model_s_own_type_needs_no_proof():
    for wish in ("auto", "model"):
        facts = chosen(replace(model("llama"), tokenizer=None), wish).facts
        assert [(one.type, one.reason) for one in facts.layers] == [(KeyValueType.MODEL, f'cache.dtype = "{wish}"')]
        assert facts.quality is None
        assert facts.token_bytes == facts.plain_token_bytes


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("llama", {"head_dim": 80}, "heads of 80 and 80 elements are no multiples of 32"),
        ("llama", {"head_dim": 16}, "heads of 16 and 16 elements are no multiples of 32"),
        ("mamba2", {}, "no layer of the model keeps keys and values as they are"),
    ],
)
def test_what_cannot_be_quantized_is_refused_by_name(name, fields, reason):
    with pytest.raises(ConfigError, match=f'cache.dtype is "int8", but {reason}; set it to "model"'):
        chosen(model(name, **fields))


def test_a_model_that_is_no_longer_what_it_was_is_refused(monkeypatch):
    """By what is lost of its perplexity, whichever way."""
    monkeypatch.setattr(key_value_choice, "MOST_LOSS", 0.01)
    measured = quality._paged_logits
    monkeypatch.setattr(quality, "_paged_logits", lambda *given: (0.9 * logits for logits in measured(*given)))
    with pytest.raises(ConfigError, match=r"with it the model is not as it was: perplexity .* and 1% is allowed"):
        chosen(model("llama"))


@pytest.mark.parametrize("value", [mx.nan, mx.inf, -1e30])
def test_a_model_that_predicts_nothing_is_refused(value, monkeypatch):
    measured = quality._paged_logits

    def spoiled(paged, tokens):
        for logits in measured(paged, tokens):
            yield mx.where(mx.arange(logits.shape[-1]) == tokens[1], value, logits)

    monkeypatch.setattr(quality, "_paged_logits", spoiled)
    with pytest.raises(ConfigError, match="with it the model is not as it was"):
        chosen(model("llama"))


def test_a_store_that_is_wrong_is_found_out(monkeypatch):
    take = QuantizedArenas.mix
    monkeypatch.setattr(QuantizedArenas, "mix", lambda store, weights, where: take(store, weights, where[::-1]))
    with pytest.raises(ConfigError, match="differ from those over the same keys and values as floats by"):
        chosen(model("llama"))
