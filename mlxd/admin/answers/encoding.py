"""Of models that encode: how texts become vectors, or pairs of texts scores."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from mlxd.admin.answers.document import Count, Document


class Encoding(Document, frozen=True, kw_only=True):
    """How a model encodes. Origins are for people: a file, and the key in it."""

    dimension: Annotated[Count | None, Meta(description="Of its vectors; null: it makes scores.")]
    least_dimension: Annotated[Count | None, Meta(description="To which its vectors may be shortened; null: they may not.")]
    most_tokens: Annotated[Count, Meta(description="Of one text, or pair, with what the tokenizer adds.")]
    most_tokens_origin: str
    pooling: Annotated[str, Meta(description="How a vector is made of those of a text's tokens, as sentence-transformers names it.")]
    pooling_origin: str
    normalized: Annotated[bool, Meta(description="Its vectors have the length 1.")]
    prompts: Annotated[Mapping[str, str], Meta(description="Texts that go before others, by the names of their uses.")]
    default_prompt: Annotated[str, Meta(description="The name of the prompt that goes before texts where a request names none; or empty.")]
    scores: Annotated[str, Meta(description="What a score is: `sigmoid`, from 0 to 1, or `logit`; empty: it makes vectors.")]
    scores_origin: str
