"""``POST /v1/messages/count_tokens``: how many tokens of input a request would have, by the way that the request itself would go."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from mlxd.api.anthropic.errors import ROOT
from mlxd.api.anthropic.messages import MessagesRequest, PromptFields
from mlxd.api.bodies import model_name, read_json_body
from mlxd.api.caller import caller
from mlxd.api.deadline import Deadline
from mlxd.api.fields.validation import lenient
from mlxd.api.keys import CONFIG, MODEL, TELEMETRY, TRACER, ReadyModel
from mlxd.api.permitted_models import models_of
from mlxd.api.trace import RequestTrace
from mlxd.api.volatile import without_volatile
from mlxd.config.schema import ServerTable
from mlxd.listener.body import aside
from mlxd.listener.request_id import request_id
from mlxd.wire.prompts import ChatPrompt

COUNT_TOKENS = f"{ROOT}/count_tokens"

_OF_ANSWERS = MessagesRequest.model_fields.keys() - PromptFields.model_fields.keys()  # clients send the request that they are about to make


async def count_tokens(request: web.Request) -> web.Response:
    """Answers with ``{"input_tokens": …}``: the input, cached or not, that the answer would have. Raises every kind of ``MlxdError``."""
    config = request.app[CONFIG]()
    with RequestTrace(request.app[TELEMETRY], request.app[TRACER], request_id(request), "count_tokens", caller(request)) as trace:
        async with Deadline(config.server.request_timeout).guard():
            body = await read_json_body(request)
            trace.requested_model = model_name(body.document)
            models = models_of(request)
            request[MODEL] = trace.model = models.resolve(trace.requested_model)
            model = await models.ensure_ready(trace.model)
            prompt = await aside(body.size, _prompt, body.document, model, config.server)
            found = await model.client.tokenize(prompt)
    return web.Response(body=msgspec.json.encode({"input_tokens": len(found.tokens)}), content_type="application/json")


def _prompt(document: Mapping[str, Any], model: ReadyModel, server: ServerTable) -> ChatPrompt:
    asked = {name: value for name, value in document.items() if name not in _OF_ANSWERS}
    request, _ = lenient(PromptFields, asked, server.unknown_fields)
    request.check()
    [prompt] = request.prompts(model)
    return without_volatile(prompt, server.volatile_prefixes)
