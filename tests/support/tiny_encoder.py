"""Tiny models that make vectors or scores: BERT's shape, random weights, one token per byte, files as sentence-transformers has them."""

import json

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, processors

from tests.support.tiny_model import make_tokenizer

CLS, SEP = 259, 260
OVERFLOWS = ord("^")  # a token of which no number comes; none of those that are tried at each load
BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
    "vocab_size": 261,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "pad_token_id": 0,
}
_SCALE = 0.3


def make_tiny_embedder(directory, *, least_dimension=8, pooling_width=32, **config):
    """Vectors of 32 numbers, which may be shortened to ``least_dimension``, None: not at all."""
    matryoshka = {} if least_dimension is None else {"matryoshka_dimensions": [least_dimension, 32]}
    _write(directory, BERT | matryoshka | config, _bert(BERT | config))
    modules = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    kinds = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(modules)
    ]
    _json(directory / "modules.json", kinds)
    (directory / "1_Pooling").mkdir()
    _json(directory / "1_Pooling" / "config.json", {"word_embedding_dimension": pooling_width, "pooling_mode_mean_tokens": True})
    return directory


def make_tiny_reranker(directory, **config):
    """Scores from 0 to 1."""
    config = BERT | {"architectures": ["BertForSequenceClassification"], "num_labels": 1, "id2label": {"0": "LABEL_0"}} | config
    random = np.random.default_rng(1)
    weights = {f"bert.{name}": value for name, value in _bert(config).items()}
    weights |= _linear(random, "bert.pooler.dense", 32, 32) | _linear(random, "classifier", 1, 32)
    _write(directory, config, weights)
    return directory


def _bert(config):
    random = np.random.default_rng(0)
    width, inner = config["hidden_size"], config["intermediate_size"]
    tables = {"word": config["vocab_size"], "position": config["max_position_embeddings"], "token_type": config["type_vocab_size"]}
    weights = {f"embeddings.{name}_embeddings.weight": _random(random, rows, width) for name, rows in tables.items()}
    weights["embeddings.word_embeddings.weight"][OVERFLOWS] = 3e38
    weights |= _norm("embeddings.LayerNorm", width)
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            weights |= _linear(random, f"{at}.{name}", width, width)
        weights |= _linear(random, f"{at}.intermediate.dense", inner, width) | _linear(random, f"{at}.output.dense", width, inner)
        weights |= _norm(f"{at}.attention.output.LayerNorm", width) | _norm(f"{at}.output.LayerNorm", width)
    return weights


def _random(random, *shape):
    return (random.standard_normal(shape) * _SCALE).astype(np.float32)


def _linear(random, name, outer, inner):
    return {f"{name}.weight": _random(random, outer, inner), f"{name}.bias": _random(random, outer)}


def _norm(name, width):
    return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}


def _write(directory, config, weights):
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ("[CLS]", "[SEP]")])
    ends = [("[CLS]", CLS), ("[SEP]", SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    _json(directory / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": "[CLS]", "sep_token": "[SEP]"})
    _json(directory / "config.json", config)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def _json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
