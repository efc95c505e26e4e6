"""How many tokens of input a request would have, by the way that the request itself would go; what APIs ask that in is theirs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import web

from mlxd.api.bodies import model_name, read_json_body
from mlxd.api.caller import caller
from mlxd.api.deadline import Deadline
from mlxd.api.keys import CONFIG, MODEL, TELEMETRY, TRACER, ReadyModel
from mlxd.api.media.gallery import GALLERY
from mlxd.api.permitted_models import models_of
from mlxd.api.trace import RequestTrace
from mlxd.api.volatile import without_volatile
from mlxd.config.schema import ServerTable
from mlxd.config.values import UnknownFields
from mlxd.listener.body import aside
from mlxd.listener.request_id import request_id
from mlxd.wire.prompts import ChatPrompt, Prompt, encoded_size

P = TypeVar("P", bound=Prompt)
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
            asked_for = models.resolve(trace.requested_model)
            request[MODEL] = trace.model = asked_for.model
            trace.adapter = asked_for.adapter
            async with models.hold(asked_for) as model:
                asked = await aside(body.size, _asked, prompt_of, body.document, model, server)
                async with request.app[GALLERY].shown(asked, server.media) as prompt:
                    found = await model.client.tokenize(prompt)
    return len(found.tokens)


def _asked(prompt_of: PromptOf, document: Mapping[str, Any], model: ReadyModel, server: ServerTable) -> ChatPrompt:
    return as_sent(prompt_of(document, model, server.unknown_fields), model, server.volatile_prefixes)


def as_sent(prompt: P, model: ReadyModel, volatile: Sequence[str]) -> P:
    """Returns a prompt whose tokens are asked for without its volatile lines. Raises ``ContextLengthError`` for one that the model's
    context cannot hold, whatever its tokens are.
    """
    steady = without_volatile(prompt, volatile)
    if model.ready.bounds is not None:
        model.ready.bounds.check(steady)
    encoded_size(steady)  # a text's UTF-8 form is kept with it; to make it when the question is sent would hold up the loop
    return steady
