"""``POST /v1/score`` and ``/score``: scores of pairs of texts, as vLLM has them, under each of the names that it has had for the two."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Annotated, Any

import msgspec
from pydantic import BeforeValidator

from mlxd.api.encoding.endpoint import Encoded, EncodingEndpoint
from mlxd.api.encoding.pairs import MOST_PAIRS, PairFields
from mlxd.api.fields.validation import lenient, problem
from mlxd.api.keys import ReadyModel, name_of
from mlxd.config.values import UnknownFields
from mlxd.errors import InvalidRequestError, MlxdError
from mlxd.listener.json_text import json_type
from mlxd.types import Task
from mlxd.wire.jobs import Score, TextPair

_NAMES = (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2"))
_AT_ONCE = 1024  # scores that are written as one piece


def read_texts(value: object) -> object:
    """Refuses what is neither a text nor a list of texts, by its place. For validators."""
    if value is None:
        return None
    if not isinstance(value, str | list):
        raise problem(f"must be a string or an array of strings, not {json_type(value)}")
    if not value:
        raise problem("must not be empty")
    if isinstance(value, list) and len(value) > MOST_PAIRS:
        raise problem(f"may have at most {MOST_PAIRS} texts, not {len(value)}")
    for place, text in enumerate([] if isinstance(value, str) else value):
        if not isinstance(text, str) or not text:
            raise problem("must be a string that is not empty", at=f"[{place}]")
    return value


Texts = Annotated[str | list[str] | None, BeforeValidator(read_texts)]


class ScoreRequest(PairFields):
    """The body of a request for scores: one text is paired with each of the others, or the first with the first, and so on."""

    text_1: Texts = None
    text_2: Texts = None
    queries: Texts = None
    documents: Texts = None
    items: Texts = None
    data_1: Texts = None
    data_2: Texts = None

    @property
    def names(self) -> tuple[str, str]:
        """Returns the fields in which the texts are. Raises ``InvalidRequestError`` unless there are just two that go together."""
        given = {name for pair in _NAMES for name in pair if getattr(self, name) is not None}
        found = next((pair for pair in _NAMES if given == set(pair)), None)
        if found is None:
            ways = "; or ".join(" and ".join(pair) for pair in _NAMES)
            raise InvalidRequestError(f"the request needs two fields with texts: {ways}", param=min(given, default="text_1"))
        return found

    def pairs(self) -> list[TextPair]:
        """Returns the pairs. Raises ``InvalidRequestError`` where the one has more texts than one, and not as many as the other."""
        (first, ones), (second, others) = ((name, _listed(getattr(self, name))) for name in self.names)
        if len(ones) not in (1, len(others)):
            message = f"{first} has {len(ones)} texts and {second} {len(others)}: it may have one, or as many"
            raise InvalidRequestError(message, param=first)
        queries = repeat(ones[0], len(others)) if len(ones) == 1 else ones
        return [TextPair(query, document) for query, document in zip(queries, others, strict=True)]

    @property
    def count(self) -> int:
        """Returns how many pairs there are."""
        return len(_listed(getattr(self, self.names[1])))

    def to_wire(self, identity: str, _model: ReadyModel) -> Score:
        """Returns the worker's job. Raises ``InvalidRequestError`` for what this model lacks."""
        return self.job(identity, self.pairs(), self.names[1])

    def located(self, error: MlxdError) -> MlxdError:
        """Returns the error of a pair, which the worker calls a document, by the field that the client has for it."""
        second = self.names[1]
        if error.param is not None and error.param.startswith("documents[") and second != "documents":
            named = second + error.param.removeprefix("documents") if isinstance(getattr(self, second), list) else second
            return type(error)(error.message.replace(error.param, named), param=named, retry_after=error.retry_after)
        return error

    def logged(self) -> Any:
        """Returns the texts, under the names that the client has for them."""
        return {name: getattr(self, name) for name in self.names}


def _listed(texts: str | list[str]) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else texts


def score_request(body: Mapping[str, Any], unknown: UnknownFields) -> ScoreRequest:
    """Reads the body. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported."""
    request, _ = lenient(ScoreRequest, body, unknown)
    request.pairs()
    return request


def written(_request: ScoreRequest, encoded: Encoded[float]) -> Iterator[bytes]:
    """Yields the answer, in the order of the pairs."""
    head = {"id": encoded.id, "object": "list", "created": int(time.time()), "model": name_of(encoded.model)}
    yield msgspec.json.encode(head)[:-1] + b',"data":['
    for start in range(0, len(encoded.values), _AT_ONCE):
        several = [
            msgspec.json.encode({"index": place, "object": "score", "score": score})
            for place, score in enumerate(encoded.values[start : start + _AT_ONCE], start)
        ]
        yield (b"," if start else b"") + b",".join(several)
    tokens = encoded.usage.prompt_tokens
    yield b'],"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":0}}' % (tokens, tokens)


SCORE = EncodingEndpoint(
    paths=("/v1/score", "/score"),
    endpoint="score",
    answer_prefix="score-",
    task=Task.RERANK,
    read=score_request,
    written=written,
)
