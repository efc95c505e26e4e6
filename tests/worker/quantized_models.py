"""Tiny models over keys and values of 8 bits."""

from dataclasses import replace
from functools import cache

import mlx.core as mx

from tests.worker.runner_rig import PagedRig, architecture, words

DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}


class Text:
    """The tokenizer of a model whose tokens mean nothing: any text is as good as another."""

    def encode(self, _text, *, add_special_tokens):
        assert add_special_tokens
        return [1, *words(1, 100)]


@cache
def model(name, dtype="float32", **fields):
    loaded = architecture(name, **({"head_dim": 64} | fields))
    loaded.model.set_dtype(DTYPES[dtype])
    return replace(loaded, dtype=dtype, tokenizer=Text())


@cache
def alone(name, prompt, count=12):
    """The tokens of one request over an empty cache of 8 bits."""
    rig = PagedRig(model(name), kv="int8")
    return rig.ask(prompt, max_tokens=count)[0]
