"""GGUF to an mlx-lm directory: a tiny made-up file for each rule, and the built-in model for meaning."""

import ctypes
import json
import shutil
from contextlib import suppress

import pytest

with suppress(OSError):  # before MLX, where it is installed: ten times faster
    ctypes.CDLL("libopenblas.so.0", mode=ctypes.RTLD_GLOBAL)

import mlx.core as mx
from mlx_lm.utils import load_model, load_tokenizer

from mlxd.errors import ModelSourceError
from mlxd.worker.fetch.directory import check_model_directory
from mlxd.worker.runtime.gguf.model import convert_gguf
from mlxd.worker.runtime.source import fetch_model
from tests.support.tiny_model import CHAT_TEMPLATE, SPECIALS, make_tokenizer

HIDDEN, INNER, HEADS, KV_HEADS, LAYERS = 64, 128, 4, 2, 2
BYTES = [token for token, _ in sorted(make_tokenizer().get_vocab().items(), key=lambda item: item[1])][:256]
TOKENS = [*SPECIALS, *BYTES, "he", "hel", "Ġhel"]  # Ġ stands for a space


def tiny_tensors():
    mx.random.seed(3)

    def matrix(rows, columns):
        return mx.random.normal((rows, columns)).astype(mx.float16)

    tensors = {"token_embd.weight": matrix(len(TOKENS), HIDDEN), "output_norm.weight": mx.ones((HIDDEN,), mx.float32)}
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        tensors |= {
            f"{prefix}attn_norm.weight": mx.ones((HIDDEN,), mx.float32),
            f"{prefix}attn_q.weight": matrix(HIDDEN, HIDDEN),
            f"{prefix}attn_k.weight": matrix(HIDDEN * KV_HEADS // HEADS, HIDDEN),
            f"{prefix}attn_v.weight": matrix(HIDDEN * KV_HEADS // HEADS, HIDDEN),
            f"{prefix}attn_output.weight": matrix(HIDDEN, HIDDEN),
            f"{prefix}ffn_norm.weight": mx.ones((HIDDEN,), mx.float32),
            f"{prefix}ffn_gate.weight": matrix(INNER, HIDDEN),
            f"{prefix}ffn_up.weight": matrix(INNER, HIDDEN),
            f"{prefix}ffn_down.weight": matrix(HIDDEN, INNER),
        }
    return tensors


def tiny_metadata():
    numbers = {
        "llama.block_count": LAYERS,
        "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.context_length": 512,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    return {key: mx.array(value, mx.uint32) for key, value in numbers.items()} | {
        "general.architecture": "llama",
        "llama.attention.layer_norm_rms_epsilon": mx.array(1e-5, mx.float32),
        "llama.rope.freq_base": mx.array(100000.0, mx.float32),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.merges": ["h e", "he l", "Ġ hel"],
        "tokenizer.ggml.token_type": mx.array([3] * 3 + [1] * (len(TOKENS) - 3), mx.int32),
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


@pytest.fixture
def convert(tmp_path):
    """Convert the tiny model with other tensors or metadata; ``None`` removes a key."""

    def run(tensors=None, **metadata):
        pairs = {key: value for key, value in (tiny_metadata() | metadata).items() if value is not None}
        mx.save_gguf(str(tmp_path / "tiny.gguf"), tensors or tiny_tensors(), pairs)
        directory = tmp_path / "model"
        directory.mkdir()
        convert_gguf(tmp_path / "tiny.gguf", directory)
        return directory

    return run


def config_of(directory):
    return json.loads((directory / "config.json").read_text())


def test_mlx_lm_loads_and_runs_it(convert):
    directory = convert()
    check_model_directory(directory)
    model, config = load_model(directory)
    assert model(mx.array([[1, 2, 3]])).shape == (1, 3, len(TOKENS))
    assert config["rms_norm_eps"] == 1e-5
    assert config["rope_theta"] == 100000.0
    assert config["eos_token_id"] == 2
    assert model.args.rope_traditional
    assert model.args.tie_word_embeddings


def test_every_tensor_arrives_unchanged_and_in_one_type(convert):
    tensors = tiny_tensors()
    weights = mx.load(str(convert(tensors) / "model.safetensors"))
    assert len(weights) == len(tensors)
    assert {weight.dtype for weight in weights.values()} == {mx.float16}
    assert mx.array_equal(weights["model.layers.1.self_attn.k_proj.weight"], tensors["blk.1.attn_k.weight"])
    assert mx.array_equal(weights["model.layers.0.mlp.down_proj.weight"], tensors["blk.0.ffn_down.weight"])


def test_without_quantized_tensors_none_is_declared(convert):
    assert "quantization" not in config_of(convert())


def test_an_output_layer_of_its_own(convert):
    directory = convert(tiny_tensors() | {"output.weight": mx.zeros((len(TOKENS), HIDDEN), mx.float16)})
    assert config_of(directory)["tie_word_embeddings"] is False
    model, _ = load_model(directory)
    assert not mx.any(model(mx.array([[1, 2]])))


def test_tokenizer(convert):
    tokenizer = load_tokenizer(convert())
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.eos_token_ids == {2}
    assert tokenizer.encode("<|im_start|> helhe") == [1, TOKENS.index("Ġhel"), TOKENS.index("he")]
    assert tokenizer.decode(tokenizer.encode("Grüße, 12 日本\n🙂")) == "Grüße, 12 日本\n🙂"


@pytest.mark.parametrize("key", [key for key in tiny_metadata() if not key.endswith(("head_count_kv", "freq_base", "unknown_token_id"))])
def test_missing_metadata_is_named(convert, key):
    with pytest.raises(ModelSourceError, match=f"lacks {key}"):
        convert(**{key: None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"general.architecture": "qwen3"}, "architecture 'qwen3'; mlxd converts plain llama only"),
        ({"llama.rope.scaling.type": "yarn"}, "converts plain llama only"),
        ({"llama.attention.head_count": mx.array(0, mx.uint32)}, "0 attention heads"),
        ({"tokenizer.ggml.model": "llama"}, "kind 'llama'/'smollm'"),
        ({"tokenizer.ggml.pre": "qwen2"}, "kind 'gpt2'/'qwen2'"),
        ({"tokenizer.ggml.merges": ["x yz"]}, "a merge 'x yz' that is not two tokens"),
        ({"tokenizer.ggml.merges": ["x y"]}, "a merge 'x y' that is not two tokens"),
        ({"tokenizer.ggml.merges": ["he"]}, "a merge 'he' that is not two tokens"),
        ({"tokenizer.ggml.token_type": mx.array([3], mx.int32)}, "tokens and 1 token types"),
        ({"tokenizer.ggml.eos_token_id": mx.array(99999, mx.uint32)}, "names token 99999"),
        ({"llama.context_length": "long"}, "lacks llama.context_length"),
    ],
)
def test_what_cannot_be_converted_is_refused(convert, change, message):
    with pytest.raises(ModelSourceError, match=message):
        convert(**change)


def test_an_unknown_tensor_is_refused(convert):
    with pytest.raises(ModelSourceError, match=r"a tensor 'blk\.0\.ffn_gate_exps\.weight' that mlxd cannot convert"):
        convert(tiny_tensors() | {"blk.0.ffn_gate_exps.weight": mx.zeros((4, 64))})


def test_no_embeddings(convert):
    tensors = tiny_tensors()
    del tensors["token_embd.weight"]
    with pytest.raises(ModelSourceError, match=r"no tensor for model\.embed_tokens"):
        convert(tensors)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no GGUF file at all"])
def test_not_a_gguf_file(tmp_path, content):
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(ModelSourceError, match=r"bad\.gguf cannot be read as GGUF"):
        convert_gguf(tmp_path / "bad.gguf", tmp_path)


def test_a_place_that_cannot_be_written(convert, tmp_path):
    shutil.rmtree(convert())
    with pytest.raises(OSError, match=r"config\.json"):
        convert_gguf(tmp_path / "tiny.gguf", tmp_path / "model")


@pytest.fixture(scope="module")
def smollm2():
    """The built-in model's directory, fetched where it is not there."""
    return fetch_model("builtin:smollm2-135m", lambda *_: None)


@pytest.mark.real_model
@pytest.mark.timeout(600)
def test_the_built_in_model_is_one_that_mlx_lm_loads(smollm2):
    """What it knows is asked of a daemon: ``tests/e2e/test_real_model.py``."""
    _, config = load_model(smollm2, lazy=True)
    assert config["quantization"] == {"group_size": 32, "bits": 4, "model.embed_tokens": {"group_size": 32, "bits": 8}}


@pytest.mark.real_model
@pytest.mark.timeout(600)
def test_the_built_in_tokenizer_is_smollm2s(smollm2):
    """Token ids as other projects publish them for the original tokenizer."""
    tokenizer = load_tokenizer(smollm2)
    assert (tokenizer.eos_token, tokenizer.eos_token_ids, tokenizer.vocab_size) == ("<|im_end|>", {2}, 49152)
    assert tokenizer.encode("Hello world") == [19556, 905]
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    assert tokenizer.apply_chat_template(messages, add_generation_prompt=True) == [
        *[1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182, 2, 198],
        *[1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198],
    ]
    assert len(tokenizer.encode("31415")) == 5  # digits one by one
    for text in (
        "naïve 🙂 日本語\n\n  tab\t x",
        " leading and trailing ",
        "don't  stop",
        "<|im_start|>user\nhi<|im_end|>",
        "a1b22c333\r\n",
    ):
        assert tokenizer.decode(tokenizer.encode(text)) == text
