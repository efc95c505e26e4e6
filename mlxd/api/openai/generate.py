"""What chat and text completions share: from a request to its answer.

The order of checks: the body is JSON; the model exists (404); every field is right (400); the model is ready (503). The
worker checks what needs its tokenizer (a prompt longer than the context: 400) and its queue (429).
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from mlxd.api.caller import caller
from mlxd.api.deadline import Deadline
from mlxd.api.delivery import Delivery
from mlxd.api.keys import CONFIG, MODEL, MODELS, REQUESTS, TELEMETRY, TRACER, ReadyModel
from mlxd.api.openai.answers import ChatShape, CompletionShape
from mlxd.api.openai.fields import GenerationFields
from mlxd.api.trace import RequestTrace
from mlxd.errors import InvalidRequestError
from mlxd.listener.body import BodyLimits, json_type, read_json_object
from mlxd.listener.request_id import request_id
from mlxd.wire.messages import Generate, OutputSpec, TokenPrompt


async def generate(
    request: web.Request,
    endpoint: str,
    parse: Callable[[Mapping[str, Any]], GenerationFields],
    shape_of: type[ChatShape | CompletionShape],
) -> web.StreamResponse:
    """``parse`` checks the body; ``shape_of`` writes the answer. Raises every kind of ``MlxdError``."""
    config = request.app[CONFIG]()
    deadline = Deadline(config.server.request_timeout)
    with RequestTrace(request.app[TELEMETRY], request.app[TRACER], request_id(request), endpoint, caller(request)) as trace:
        async with deadline.guard():
            body = await read_json_object(request, BodyLimits(max_size=config.server.max_body, setting="server.max_body"))
            name = _model_name(body)
            request[MODEL] = trace.model = request.app[MODELS].resolve(name)
            trace.requested_model = name
            accepted = parse(body)
            trace.streamed = bool(accepted.stream)
        live = trace.live(shape_of.new_id(), deadline.stop)
        with request.app[REQUESTS].track(live):
            async with deadline.guard():
                model = await request.app[MODELS].ensure_ready(trace.model)
            shape = shape_of(live.id, model, with_usage=accepted.wants_usage)
            job = _to_wire(live.id, accepted, model)
            if config.log.content:
                trace.prompt = msgspec.to_builtins(job.prompt)
            delivery = Delivery(request=request, client=model.client, generate=job, shape=shape, trace=trace, deadline=deadline)
            return await (delivery.streamed(config.server.sse_keepalive) if accepted.stream else delivery.whole())


def _model_name(body: Mapping[str, Any]) -> str:
    """The model a body asks for: looked at before anything else, for an unknown one is a 404 whatever else is wrong."""
    name = body.get("model")
    if name is None:
        raise InvalidRequestError("model is required; GET /v1/models lists the names", param="model")
    if not isinstance(name, str):
        raise InvalidRequestError(f"model must be a string, not {json_type(name)}", param="model")
    return name


def _to_wire(identity: str, accepted: GenerationFields, model: ReadyModel) -> Generate:
    """Raises ``InvalidRequestError`` for token ids that this model lacks."""
    defaults, vocab_size = model.config.sampling, model.ready.vocab_size
    prompt = accepted.wire_prompt
    if isinstance(prompt, TokenPrompt):
        _check_tokens(prompt.token_ids, vocab_size)
    return Generate(
        id=identity,
        prompt=prompt,
        sampling=accepted.sampling(defaults, vocab_size),
        max_tokens=accepted.token_limit or defaults.max_tokens,
        output=OutputSpec(stop=accepted.stop or []),
        priority=accepted.priority or 0,
    )


def _check_tokens(token_ids: list[int], vocab_size: int) -> None:
    if max(token_ids) < vocab_size:
        return
    index = next(index for index, token in enumerate(token_ids) if token >= vocab_size)
    message = f"prompt[{index}] is token {token_ids[index]}, beyond the model's vocabulary of {vocab_size}"
    raise InvalidRequestError(message, param=f"prompt[{index}]")
