"""What a worker knows of a model that makes vectors or scores of texts, as it crosses the wire. Origins are for people."""

import msgspec


class EncodingFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How texts become vectors, or pairs of texts scores. ``most_tokens`` are those of one text, or pair, with what the tokenizer adds."""

    most_tokens: int
    most_tokens_origin: str = ""
    dimension: int | None = None  # of its vectors; None: it makes scores
    least_dimension: int | None = None  # to which its vectors may be shortened; None: they may not
    pooling: str = ""  # as sentence-transformers names it: "mean", "cls", "lasttoken", …
    pooling_origin: str = ""
    normalized: bool = False  # its vectors have the length 1
    prompts: dict[str, str] = {}  # texts that go before others, by the name of their use
    default_prompt: str = ""  # the name of the one that goes before texts where a request names none
    scores: str = ""  # what a score is: "sigmoid" (0 to 1), "logit"
    scores_origin: str = ""
