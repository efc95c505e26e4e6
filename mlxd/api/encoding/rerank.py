"""``POST /v1/rerank``, ``/v2/rerank`` and ``/rerank``: documents in the order in which they answer a query, as Cohere and Jina have it."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar

import msgspec
from pydantic import BeforeValidator, Field

from mlxd.api.encoding.endpoint import Encoded, EncodingEndpoint
from mlxd.api.encoding.pairs import LENIENCY, MOST_PAIRS, PairFields
from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.tolerance import Rules, only
from mlxd.api.fields.validation import lenient, problem
from mlxd.api.keys import ReadyModel, name_of
from mlxd.config.values import UnknownFields
from mlxd.errors import MlxdError
from mlxd.listener.json_text import json_type
from mlxd.types import Task
from mlxd.wire.jobs import Score, TextPair

_SEARCH_UNIT = 100  # documents, as Cohere counts them
_AT_ONCE = 256  # results that are written as one piece

Document = str | dict[str, Any]


def read_documents(value: object) -> object:
    """Refuses what is no list of documents, by its place. For validators."""
    if not isinstance(value, list):
        raise problem(f"must be an array of strings, or of objects with a text, not {json_type(value)}")
    if not 1 <= len(value) <= MOST_PAIRS:
        raise problem(f"must have 1 to {MOST_PAIRS} documents, not {len(value)}")
    for place, document in enumerate(value):
        if isinstance(document, dict):
            if not isinstance(document.get("text"), str) or not document["text"]:
                raise problem("must be a string that is not empty", at=f"[{place}].text")
        elif not isinstance(document, str) or not document:
            raise problem("must be a string that is not empty, or an object with a text", at=f"[{place}]")
    return value


class RerankRequest(PairFields):
    """The body of a request for documents in another order."""

    tolerated: ClassVar[Rules] = {**LENIENCY, "rank_fields": only(["text"], why="Of a document that is an object, its text is ranked.")}

    query: Annotated[str, Field(min_length=1)]
    documents: Annotated[list[Document], BeforeValidator(read_documents)]
    top_n: Annotated[int, Whole, Field(ge=0, le=INT32)] | None = None  # 0, as in vLLM, and None: all
    return_documents: bool | None = None

    @property
    def count(self) -> int:
        """Returns how many documents there are."""
        return len(self.documents)

    def to_wire(self, identity: str, _model: ReadyModel) -> Score:
        """Returns the worker's job. Raises ``InvalidRequestError`` for what this model lacks."""
        return self.job(identity, [TextPair(self.query, text_of(document)) for document in self.documents], "documents")

    def located(self, error: MlxdError) -> MlxdError:
        """Returns the error of a document, which the worker names as the client does."""
        return error

    def logged(self) -> Any:
        """Returns the query and the documents."""
        return {"query": self.query, "documents": self.documents}


def text_of(document: Document) -> str:
    """Returns what of a document is ranked."""
    return document if isinstance(document, str) else str(document["text"])


def rerank_request(body: Mapping[str, Any], unknown: UnknownFields) -> RerankRequest:
    """Reads the body. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported."""
    request, _ = lenient(RerankRequest, body, unknown)
    return request


def written(version: str, request: RerankRequest, encoded: Encoded[float]) -> Iterator[bytes]:
    """Yields the answer, the best document first; of equal ones, that which was sent first."""
    scores = encoded.values
    order = sorted(range(len(scores)), key=lambda place: -scores[place])[: request.top_n or None]
    yield b'{"id":%b,"model":%b,"results":[' % (msgspec.json.encode(encoded.id), msgspec.json.encode(name_of(encoded.model)))
    for start in range(0, len(order), _AT_ONCE):
        several = [msgspec.json.encode(_result(request, place, scores[place])) for place in order[start : start + _AT_ONCE]]
        yield (b"," if start else b"") + b",".join(several)
    tokens = encoded.usage.prompt_tokens
    units = -(-len(scores) // _SEARCH_UNIT)
    meta = {"api_version": {"version": version}, "billed_units": {"search_units": units}, "tokens": {"input_tokens": tokens}}
    yield b'],"meta":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (msgspec.json.encode(meta), tokens, tokens)


def _result(request: RerankRequest, place: int, score: float) -> dict[str, Any]:
    result: dict[str, Any] = {"index": place, "relevance_score": score}
    if request.return_documents:
        document = request.documents[place]
        result["document"] = {"text": document} if isinstance(document, str) else document
    return result


def _endpoint(version: str, *paths: str) -> EncodingEndpoint[RerankRequest, float]:
    return EncodingEndpoint(
        paths=paths,
        endpoint="rerank",
        answer_prefix="rerank-",
        task=Task.RERANK,
        read=rerank_request,
        written=partial(written, version),
    )


RERANK = _endpoint("1", "/v1/rerank", "/rerank")
RERANK_2 = _endpoint("2", "/v2/rerank")
