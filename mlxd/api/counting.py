"""How many tokens of input a request would have, by the way that the request itself would go; what APIs ask that in is theirs."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from mlxd.api.bodies import model_name, read_json_body
from mlxd.api.caller import caller
from mlxd.api.deadline import Deadline
from mlxd.api.keys import CONFIG, MODEL, TELEMETRY, TRACER, ReadyModel
from mlxd.api.permitted_models import models_of
from mlxd.api.trace import RequestTrace
from mlxd.api.volatile import without_volatile
from mlxd.config.values import UnknownFields
from mlxd.listener.body import aside
from mlxd.listener.request_id import request_id
from mlxd.wire.prompts import ChatPrompt

PromptOf = Callable[[Mapping[str, Any], ReadyModel, UnknownFields], ChatPrompt]


async def count_input(request: web.Request, endpoint: str, prompt_of: PromptOf) -> int:
    """Returns the tokens of the prompt that ``prompt_of`` finds in the request's body; ``endpoint`` is the name of the question in logs and
    metrics. Raises every kind of ``MlxdError``.
    """
    server = request.app[CONFIG]().server
    with RequestTrace(request.app[TELEMETRY], request.app[TRACER], request_id(request), endpoint, caller(request)) as trace:
        async with Deadline(server.request_timeout).guard():
            body = await read_json_body(request)
            trace.requested_model = model_name(body.document)
            models = models_of(request)
            request[MODEL] = trace.model = models.resolve(trace.requested_model)
            model = await models.ensure_ready(trace.model)
            prompt = await aside(body.size, prompt_of, body.document, model, server.unknown_fields)
            found = await model.client.tokenize(without_volatile(prompt, server.volatile_prefixes))
    return len(found.tokens)
