"""The inference listener's application: every path it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from mlxd.api.anthropic.count_tokens import COUNT_TOKENS, count_tokens
from mlxd.api.anthropic.errors import add_request_id, anthropic_error_body, by_client, identified, is_anthropic
from mlxd.api.anthropic.messages import MESSAGES
from mlxd.api.anthropic.models import list_models as anthropic_models
from mlxd.api.anthropic.models import show_model as anthropic_model
from mlxd.api.dialect import Dialect
from mlxd.api.encoding.encode import handler_of as encoding_handler_of
from mlxd.api.encoding.endpoint import EncodingEndpoint
from mlxd.api.encoding.rerank import RERANK, RERANK_2
from mlxd.api.encoding.score import SCORE
from mlxd.api.generate import handler_of
from mlxd.api.health import health
from mlxd.api.key_limits import key_limits_middleware, rate_headers_signal
from mlxd.api.keys import CONFIG, KEY_USES, MODEL, MODELS, REQUESTS, TELEMETRY, TRACER, Models
from mlxd.api.media.gallery import GALLERY, Gallery
from mlxd.api.openai.chat import CHAT_COMPLETIONS
from mlxd.api.openai.completions import TEXT_COMPLETIONS
from mlxd.api.openai.embeddings import EMBEDDINGS
from mlxd.api.openai.models import list_models, show_model
from mlxd.api.openai.tokens import detokenize, tokenize, tokenizer_info
from mlxd.api.openapi import document
from mlxd.api.rate_headers import RateHeaders, anthropic_rate_headers, openai_rate_headers
from mlxd.api.responses.endpoint import RESPONSES
from mlxd.api.responses.input_tokens import INPUT_TOKENS, input_tokens
from mlxd.api.responses.stored import CANCEL, COMPACT, INPUT_ITEMS, RESPONSE, compact, find_response
from mlxd.config.schema import Config
from mlxd.control.live_requests import LiveRequests
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.control.telemetry import UNKNOWN_MODEL, Telemetry, Tracer
from mlxd.errors import MlxdError
from mlxd.listener.application import new_application
from mlxd.listener.errors import ErrorBody, openai_error_body
from mlxd.listener.framing import expect_continue
from mlxd.listener.openapi import DOCUMENT, show
from mlxd.listener.routes import route_of
from mlxd.listener.security import InferenceRules

DIALECTS: tuple[Dialect[Any], ...] = (CHAT_COMPLETIONS, TEXT_COMPLETIONS, RESPONSES, MESSAGES)
ENCODING: tuple[EncodingEndpoint[Any, Any], ...] = (EMBEDDINGS, RERANK, RERANK_2, SCORE)


@dataclass(frozen=True, kw_only=True)
class ApiSources:
    """Where the answers come from. ``config`` gives the running snapshot and is asked at each request, so a reload takes effect on the next
    one.
    """

    models: Models
    telemetry: Telemetry
    tracer: Tracer
    requests: LiveRequests
    key_uses: KeyUses
    config: Callable[[], Config]
    gallery: Gallery = field(default_factory=Gallery)


def build_app(sources: ApiSources) -> web.Application:
    rules = InferenceRules(lambda: sources.config().server)

    def count(request: web.Request, error: MlxdError) -> None:
        sources.telemetry.request_rejected(request.get(MODEL, UNKNOWN_MODEL), error.code)

    errors = {dialect.path: dialect.error for dialect in DIALECTS} | {COUNT_TOKENS: anthropic_error_body}
    spending = {dialect.path for dialect in DIALECTS} | {path for endpoint in ENCODING for path in endpoint.paths}
    limits = key_limits_middleware(spending)
    app = new_application(rules, on_error=count, error_body_of=partial(_error_body_of, errors), after_security=[limits])
    app.on_response_prepare.append(add_request_id)
    app.on_response_prepare.append(rate_headers_signal(_rate_headers_of))
    app[MODELS] = sources.models
    app[TELEMETRY] = sources.telemetry
    app[TRACER] = sources.tracer
    app[REQUESTS] = sources.requests
    app[KEY_USES] = sources.key_uses
    app[CONFIG] = sources.config
    app[GALLERY] = sources.gallery
    app.add_routes(
        [
            web.get("/openapi.json", show, expect_handler=expect_continue),
            web.get("/health", health, expect_handler=expect_continue),
            web.get("/v1/models", by_client(anthropic=anthropic_models, other=list_models), expect_handler=expect_continue),
            web.get("/v1/models/", by_client(anthropic=anthropic_models, other=list_models), expect_handler=expect_continue),
            web.get("/v1/models/{id:.+}", by_client(anthropic=anthropic_model, other=show_model), expect_handler=expect_continue),
            web.get("/tokenizer_info", tokenizer_info, expect_handler=expect_continue),
            web.post("/tokenize", tokenize, expect_handler=expect_continue),
            web.post("/detokenize", detokenize, expect_handler=expect_continue),
            web.get(RESPONSE, find_response, expect_handler=expect_continue),
            web.delete(RESPONSE, find_response, expect_handler=expect_continue),
            web.get(INPUT_ITEMS, find_response, expect_handler=expect_continue),
            web.post(INPUT_TOKENS, input_tokens, expect_handler=expect_continue),
            web.post(COMPACT, compact, expect_handler=expect_continue),
            web.post(CANCEL, find_response, expect_handler=expect_continue),
            web.post(COUNT_TOKENS, count_tokens, expect_handler=expect_continue),
            *(web.post(dialect.path, handler_of(dialect), expect_handler=expect_continue) for dialect in DIALECTS),
            *(
                web.post(path, encoding_handler_of(endpoint), expect_handler=expect_continue)
                for endpoint in ENCODING
                for path in endpoint.paths
            ),
        ]
    )
    app[DOCUMENT] = document(app, errors)
    return app


def _error_body_of(errors: Mapping[str, ErrorBody], request: web.Request) -> ErrorBody:
    """Returns the shape of the errors of a request: of ``errors`` that of its path, or, as on unknown ones, that of whose client it is."""
    known = errors.get(route_of(request))
    if known is None and is_anthropic(request):
        known = anthropic_error_body
    return identified(request) if known is anthropic_error_body else known or openai_error_body


def _rate_headers_of(request: web.Request) -> RateHeaders:
    return anthropic_rate_headers if is_anthropic(request) else openai_rate_headers
