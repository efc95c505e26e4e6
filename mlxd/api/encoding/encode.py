"""What all endpoints share that encode: from a request to its answer.

The order of checks is that of ``api.generate``: the body is JSON; the model exists (404); every field is right (400); the model is ready
(503) and does this (400). The worker checks what needs its tokenizer (a text longer than the model takes: 400) and its queue (429).
"""

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from mlxd.api.acceptance import accept
from mlxd.api.caller import caller
from mlxd.api.deadline import Deadline
from mlxd.api.encoding.collection import Collection
from mlxd.api.encoding.endpoint import Encoded, EncodingEndpoint, EncodingRequest
from mlxd.api.keys import CONFIG, REQUESTS, SPENDING, TELEMETRY, TRACER, ReadyModel
from mlxd.api.tasks import check_task
from mlxd.api.trace import RequestTrace
from mlxd.client.worker_client import WorkerClient
from mlxd.config.principal import Principal
from mlxd.errors import InvalidRequestError, UnsupportedParameterError
from mlxd.listener.body import aside
from mlxd.listener.request_id import request_id
from mlxd.listener.security import PRINCIPAL
from mlxd.types import Usage
from mlxd.wire.jobs import Embed, Score

_JSON = "application/json"
_PAIR = 1024  # bytes that a pair may have in the worker's job, though a body says the query of all of them once
_LARGE = 2**18  # bytes of vectors or scores: a larger answer is not written at once


def handler_of(endpoint: EncodingEndpoint[Any, Any]) -> Handler:
    """Returns the handler of the endpoint's routes."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await encode(request, endpoint)

    return handler


async def encode(request: web.Request, endpoint: EncodingEndpoint[Any, Any]) -> web.StreamResponse:
    """Answers one request. Raises every kind of ``MlxdError`` until the status of a large answer is out."""
    config = request.app[CONFIG]()
    deadline = Deadline(config.server.request_timeout)
    with RequestTrace(request.app[TELEMETRY], request.app[TRACER], request_id(request), endpoint.endpoint, caller(request)) as trace:
        async with deadline.guard():
            opened = await accept(request, trace, endpoint.read)
            accepted, models = opened.request, opened.models
        live = trace.live(f"{endpoint.answer_prefix}{uuid.uuid4().hex}", deadline.stop)
        with request.app[REQUESTS].track(live):
            async with deadline.guard():
                async with models.hold(opened.asked) as model:
                    _check_no_adapter(model)
                    check_task(endpoint.task, model, models)
                    job = await aside(opened.size + _PAIR * accepted.count, _to_wire, accepted, live.id, model, request[PRINCIPAL])
                    if config.log.content:
                        trace.prompt = accepted.logged()
                    values = await _computed(request, model.client, job, accepted, trace)
                usage = trace.usage or Usage(prompt_tokens=0, completion_tokens=0)
                encoded = Encoded(id=live.id, model=model, values=values, usage=usage)
                return await _sent(request, endpoint.written(accepted, encoded), _size(values))


def _check_no_adapter(model: ReadyModel) -> None:
    if model.adapter:
        message = f"the model {model.name!r} encodes without adapters; ask for it without {model.adapter!r}"
        raise UnsupportedParameterError(message, param="model")


def _to_wire(accepted: EncodingRequest, identity: str, model: ReadyModel, holder: Principal) -> Embed | Score:
    """Returns the job as that of the holder of a key, which has no better priority than it may ask for."""
    job = accepted.to_wire(identity, model)
    # A text's UTF-8 form is kept with it; to make it when the job is sent would hold up the loop.
    for text in job.inputs if isinstance(job, Embed) else job.pairs:
        msgspec.msgpack.encode(text)
    return msgspec.structs.replace(job, priority=holder.bounded(accepted.priority), holder=holder.name if holder.is_named else "")


async def _computed(
    request: web.Request, client: WorkerClient, job: Embed | Score, accepted: EncodingRequest, trace: RequestTrace
) -> list[Any]:
    """Returns what the worker makes of the texts, in their order. Leaving it before the end aborts the job."""
    collection = Collection(accepted.count)
    with client.submit(job) as events:
        trace.submitted_texts(accepted.count)
        try:
            async for event in events:
                request[SPENDING].add(trace.observe(0, event))
                collection.take(event)
        except InvalidRequestError as error:
            raise accepted.located(error) from None
    return collection.values()


async def _sent(request: web.Request, pieces: Iterable[bytes], size: int) -> web.StreamResponse:
    """Sends the answer: a large one piece by piece, each made aside, so that never all of it is in memory as text."""
    if size < _LARGE:
        return web.Response(body=b"".join(pieces), content_type=_JSON)
    response, left = web.StreamResponse(), iter(pieces)
    response.content_type = _JSON
    await response.prepare(request)
    try:
        while piece := await aside(size, next, left, b""):
            await response.write(piece)
        await response.write_eof()
    except BaseException:
        if request.transport is not None:
            request.transport.abort()  # an error would be written into the answer, which then looked whole
        raise
    return response


def _size(values: list[Any]) -> int:
    return sum(len(value) if isinstance(value, bytes) else 8 for value in values)
