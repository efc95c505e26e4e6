"""What a worker knows of its model, with where each fact comes from, as it crosses the wire."""

import msgspec

from mlxd.types import ReasoningShape, ToolShape


class EndToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that ends an answer, and who says so."""

    id: int
    text: str  # as the vocabulary spells it; empty where the tokenizer does not know the id
    origins: list[str]


class DraftFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The model that drafts for another one."""

    source: str
    weight_bytes: int
    dtype: str
    context_length: int  # beyond which it guesses nothing


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker knows of its model. Origins are for people: ``config.json "max_position_embeddings"``. ``warnings`` are what an
    operator should know of the model.
    """

    context_origin: str = ""
    vocabulary_origin: str = ""
    end_tokens: list[EndToken] = []
    chat_template: str | None = None  # None: there is none, and the model only completes text
    tools: ToolShape = ToolShape.NONE  # how it writes calls
    tools_origin: str = ""
    reasoning: ReasoningShape = ReasoningShape.NONE  # how it marks what it thinks
    reasoning_origin: str = ""
    weight_files: list[str] = []  # names in the model's directory
    weights_origin: str = ""
    library: str = ""  # whose class the model is: "mlx-lm", or, of models that see, "mlx-vlm"
    library_origin: str = ""
    sight: str = ""  # what became of pictures and films; empty for a model of text
    warnings: list[str] = []
    draft: DraftFacts | None = None
