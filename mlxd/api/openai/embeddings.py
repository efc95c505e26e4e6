"""``POST /v1/embeddings``: vectors of texts, as OpenAI's API has them, with what vLLM and TEI add. The rest is in ``api/encoding``."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import BeforeValidator, Field, InstanceOf

from mlxd.api.encoding.cutting import AT_ITS_END, CuttingFields
from mlxd.api.encoding.endpoint import Encoded, EncodingEndpoint
from mlxd.api.encoding.numbers import as_base64, as_numbers
from mlxd.api.fields.hints import HINTS
from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.tolerance import OFF, Rules, only
from mlxd.api.fields.validation import lenient, problem
from mlxd.api.keys import ReadyModel, name_of
from mlxd.api.openai.text_prompts import AnyPrompt, read_prompts
from mlxd.config.values import MOST_PRIORITY, UnknownFields
from mlxd.errors import InvalidRequestError, MlxdError
from mlxd.types import Task
from mlxd.wire.jobs import Embed
from mlxd.wire.prompts import TextPrompt, TokenPrompt

MOST_INPUTS = 2048  # as OpenAI
_AT_ONCE = 16  # vectors that are written as one piece
_OTHER_VECTORS = "It would make other vectors of the same texts."

LENIENCY: Rules = {
    **HINTS,
    "add_special_tokens": only(True),  # noqa: FBT003
    "embed_dtype": only("float32"),
    "endianness": only("native", "little"),
    "normalize": only(why="Vectors have the length that the model's files say."),
    "normalized": only(why="Vectors have the length that the model's files say."),
    "embedding_type": only("float"),
    "input_type": only(why=_OTHER_VECTORS + " Say prompt_name where the model has prompts."),
    "task": only(why=_OTHER_VECTORS + " Say prompt_name where the model has prompts."),
    "truncation_side": only("right", why=AT_ITS_END),
    "late_chunking": OFF,
    "return_token_ids": OFF,
}


def read_inputs(value: object) -> list[TextPrompt | TokenPrompt]:
    """Returns the texts. To be raised by validators: what is wrong with one, by its place."""
    if isinstance(value, list) and len(value) > MOST_INPUTS and isinstance(value[0], str | list):
        raise problem(f"may have at most {MOST_INPUTS} texts, not {len(value)}; ask for the others in another request")
    return read_prompts(value)


_Inputs = list[InstanceOf[TextPrompt] | InstanceOf[TokenPrompt]]


class EmbeddingsRequest(CuttingFields):
    """The body of a request for vectors."""

    tolerated: ClassVar[Rules] = LENIENCY

    model: str
    input: Annotated[_Inputs, BeforeValidator(read_inputs, json_schema_input_type=AnyPrompt)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Whole, Field(ge=1, le=INT32)] | None = None
    prompt_name: str | None = None
    priority: Annotated[int, Whole, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)] | None = None

    @property
    def count(self) -> int:
        """Returns how many texts there are."""
        return len(self.input)

    def to_wire(self, identity: str, model: ReadyModel) -> Embed:
        """Returns the worker's job. Raises ``InvalidRequestError`` for a prompt that the model does not have."""
        known = model.ready.encoding.prompts if model.ready.encoding else {}
        if self.prompt_name and self.prompt_name not in known:
            there_are = ", ".join(known) or "none"
            raise InvalidRequestError(f"prompt_name is none of the prompts of this model; there are: {there_are}", param="prompt_name")
        return Embed(
            id=identity,
            inputs=self.input,
            dimensions=self.dimensions,
            truncate=self.truncates,
            most_tokens=self.most_tokens,
            prompt_name=self.prompt_name,
        )

    def located(self, error: MlxdError) -> MlxdError:
        """Returns an error of the worker's, which counts texts from 0. It is the client's own count, also where it sent a single text."""
        return error

    def logged(self) -> Any:
        """Returns the texts, and the tokens of those that are tokens."""
        return [one.text if isinstance(one, TextPrompt) else one.token_ids for one in self.input]


def embeddings_request(body: Mapping[str, Any], unknown: UnknownFields) -> EmbeddingsRequest:
    """Reads the body. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    request, _ = lenient(EmbeddingsRequest, body, unknown)
    return request


def written(request: EmbeddingsRequest, encoded: Encoded[bytes]) -> Iterator[bytes]:
    """Yields the answer, some vectors at a time."""
    shown = as_base64 if request.encoding_format == "base64" else as_numbers
    yield b'{"object":"list","data":['
    for start in range(0, len(encoded.values), _AT_ONCE):
        several = [
            b'{"object":"embedding","index":%d,"embedding":%b}' % (place, shown(vector))
            for place, vector in enumerate(encoded.values[start : start + _AT_ONCE], start)
        ]
        yield (b"," if start else b"") + b",".join(several)
    tokens = encoded.usage.prompt_tokens
    yield b'],"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (msgspec.json.encode(name_of(encoded.model)), tokens, tokens)


EMBEDDINGS = EncodingEndpoint(
    paths=("/v1/embeddings",),
    endpoint="embeddings",
    answer_prefix="embd-",
    task=Task.EMBED,
    read=embeddings_request,
    written=written,
)
