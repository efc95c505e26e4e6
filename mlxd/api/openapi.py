"""``GET /openapi.json``: the OpenAPI 3.1 description of the inference listener, made from its routes and from what reads its bodies."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from mlxd import __version__
from mlxd.api.anthropic.count_tokens import COUNT_TOKENS
from mlxd.api.anthropic.errors import ROOT
from mlxd.api.anthropic.messages import MessagesRequest, PromptFields
from mlxd.api.body_schema import body_schemas
from mlxd.api.encoding.rerank import RerankRequest
from mlxd.api.encoding.score import ScoreRequest
from mlxd.api.fields.validation import Strict
from mlxd.api.openai.chat import ChatRequest
from mlxd.api.openai.completions import CompletionRequest
from mlxd.api.openai.embeddings import EmbeddingsRequest
from mlxd.api.openai.tokens import IdsOfText, TextTokens
from mlxd.api.responses.input_tokens import INPUT_TOKENS
from mlxd.api.responses.request import ResponsesRequest
from mlxd.api.responses.stored import CANCEL, COMPACT, INPUT_ITEMS, RESPONSE
from mlxd.errors import RequestError
from mlxd.listener.credentials import API_KEY_HEADER
from mlxd.listener.errors import ErrorBody, openai_error_body
from mlxd.listener.openapi import VERSION, parameters, said, template

_SUMMARY = "Inference by mlxd: the models of this daemon, in the words of other APIs."
_JSON, _STREAM = "application/json", "text/event-stream"
_KEYS = {"key": {"type": "http", "scheme": "bearer"}, "apiKey": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER}}
_REFUSED = "What was wrong with the request; or 401, 403, 404 (the model), 413, 415, 429."
_FAILED = "What went wrong here; or 503, with Retry-After, where the model is not ready now."


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a call takes, which is any of ``kinds``, and what is done with it. Of a call that ``streams``, the body says whether."""

    kinds: tuple[type[Strict], ...]
    does: str
    streams: bool = False


BODIES: Mapping[str, Body] = {
    "/v1/chat/completions": Body(kinds=(ChatRequest,), does="Answer a conversation, as OpenAI's API does.", streams=True),
    "/v1/completions": Body(kinds=(CompletionRequest,), does="Go on with a text, as OpenAI's API does.", streams=True),
    "/v1/responses": Body(kinds=(ResponsesRequest,), does="Answer a conversation, as OpenAI's Responses API does.", streams=True),
    "/v1/embeddings": Body(kinds=(EmbeddingsRequest,), does="Make vectors of texts, as OpenAI's API does."),
    "/v1/rerank": Body(kinds=(RerankRequest,), does="Put documents in the order in which they answer a query, as Cohere and Jina do."),
    "/rerank": Body(kinds=(RerankRequest,), does="As /v1/rerank."),
    "/v2/rerank": Body(kinds=(RerankRequest,), does="As /v1/rerank, in the second version of Cohere's API."),
    "/v1/score": Body(kinds=(ScoreRequest,), does="Score pairs of texts, as vLLM does."),
    "/score": Body(kinds=(ScoreRequest,), does="As /v1/score."),
    INPUT_TOKENS: Body(kinds=(ResponsesRequest,), does="Count the tokens of a response's input."),
    ROOT: Body(kinds=(MessagesRequest,), does="Answer a conversation, as Anthropic's API does.", streams=True),
    COUNT_TOKENS: Body(kinds=(PromptFields, MessagesRequest), does="Count the tokens of a conversation's input."),
    "/tokenize": Body(kinds=(TextTokens, ChatRequest), does="Show the tokens of a text or a conversation."),
    "/detokenize": Body(kinds=(IdsOfText,), does="Show the text of tokens."),
}
_QUERY = {"/tokenizer_info": "model"}
_UNTOLD = frozenset({RESPONSE, CANCEL, INPUT_ITEMS, COMPACT})  # who asks for these is told that there is nothing


def document(app: web.Application, errors: Mapping[str, ErrorBody]) -> Callable[[], bytes]:
    """Returns what makes the description of the application, at the first call; ``errors`` are the shapes of errors by path."""
    made: list[bytes] = []

    def once() -> bytes:
        if not made:
            made.append(json.dumps(describe(app, errors), indent=1).encode())
        return made[0]

    return once


def describe(app: web.Application, errors: Mapping[str, ErrorBody]) -> dict[str, Any]:
    """Returns the description in OpenAPI 3.1."""
    kinds = [kind for body in BODIES.values() for kind in body.kinds]
    references, schemas = body_schemas([*dict.fromkeys(kinds)])
    paths: dict[str, dict[str, Any]] = {}
    for route in _routes(app):
        path = _canonical(route)
        operation = _operation(route, references, errors.get(path, openai_error_body))
        paths.setdefault(template(path), {})[route.method.lower()] = operation
    return {
        "openapi": VERSION,
        "info": {"title": "mlxd", "version": __version__, "summary": _SUMMARY, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _KEYS},
        "security": [*({name: []} for name in _KEYS), {}],
    }


def _routes(app: web.Application) -> Iterable[web.AbstractRoute]:
    """Yields those that somebody would call: not HEAD, nor the second spelling of a path, nor what answers all others."""
    for route in app.router.routes():
        path = _canonical(route)
        if route.method not in (hdrs.METH_HEAD, hdrs.METH_ANY) and not path.endswith("/") and path not in _UNTOLD:
            yield route


def _canonical(route: web.AbstractRoute) -> str:
    return route.resource.canonical if route.resource is not None else ""


def _operation(route: web.AbstractRoute, references: Mapping[type[Strict], Any], error: ErrorBody) -> dict[str, Any]:
    path = _canonical(route)
    body = BODIES.get(path)
    found: dict[str, Any] = said(body.does if body else route.handler.__doc__ or "")
    found["operationId"] = f"{route.method.lower()}{''.join(part.title() for part in template(path).replace('_', '/').split('/'))}"
    given = [*(_parameter("path", name) for name in parameters(path)), *(_parameter("query", name) for name in _query(path))]
    if given:
        found["parameters"] = given
    if body is not None:
        taken = [references[kind] for kind in body.kinds]
        found["requestBody"] = {"required": True, "content": {_JSON: {"schema": taken[0] if len(taken) == 1 else {"anyOf": taken}}}}
    told = {_JSON: {"schema": shape_of(error(RequestError("")))}}
    answers = {_JSON: {"schema": {"type": "object"}}} | ({_STREAM: {"schema": {"type": "string"}}} if body and body.streams else {})
    found["responses"] = {
        "200": {"description": "The answer.", "content": answers},
        "4XX": {"description": _REFUSED, "content": told},
        "5XX": {"description": _FAILED, "content": told},
    }
    return found


def shape_of(example: object) -> dict[str, Any]:
    """Returns a schema of objects like an example: with all of its members, each of its type; of null, anything."""
    if isinstance(example, Mapping):
        return {"type": "object", "properties": {name: shape_of(value) for name, value in example.items()}, "required": [*example]}
    return {"type": "string"} if isinstance(example, str) else {}


def _query(path: str) -> list[str]:
    return [_QUERY[path]] if path in _QUERY else []


def _parameter(place: str, name: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string", "minLength": 1}}
