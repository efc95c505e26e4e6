"""A text, or a pair of texts, in the tokens that a model which encodes computes."""

import msgspec


class EncodedInput(msgspec.Struct, frozen=True):
    """The ``tokens`` of a text or a pair, with those that the tokenizer adds. ``second`` is where a pair's second text begins (BERT's token
    types), 0 where there is none; ``prompt`` tokens at the start are left out of pooling where the model's files say so.
    """

    tokens: list[int]
    second: int = 0
    prompt: int = 0
