"""Tiny models over keys and values of 8 bits."""

from dataclasses import replace
from functools import cache

import mlx.core as mx

from tests.worker.runner_rig import PagedRig, architecture, plain

DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}


class Text:
    """The tokenizer of a model whose tokens mean nothing: any text is what the model would have said itself."""

    def __init__(self, loaded):
        self._loaded = loaded
        self._said = None

    def encode(self, _text, *, add_special_tokens):
        assert add_special_tokens
        self._said = self._said or [1, *plain(self._loaded, [1], 100)]
        return self._said


@cache
def model(name, dtype="float32", **fields):
    loaded = architecture(name, **({"head_dim": 64} | fields))
    loaded.model.set_dtype(DTYPES[dtype])
    return replace(loaded, dtype=dtype, tokenizer=Text(loaded))


@cache
def alone(name, prompt, count=12):
    """The tokens of one request over an empty cache of 8 bits."""
    rig = PagedRig(model(name), kv="int8")
    return rig.ask(prompt, max_tokens=count)[0]
