"""What all endpoints that generate share: from a request to its answer.

The order of checks: the body is JSON; the model exists (404); every field is right (400); the model is ready (503). The
worker checks what needs its tokenizer (a prompt longer than the context: 400) and its queue (429).
"""

import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from mlxd.api.acceptance import accept
from mlxd.api.caller import caller
from mlxd.api.deadline import Deadline
from mlxd.api.delivery import Assignment, Delivery
from mlxd.api.dialect import Dialect, GenerationRequest
from mlxd.api.fields.abilities import check_adapter
from mlxd.api.jobs import Jobs, answered_with, check_bounds, check_room, check_size, held_by
from mlxd.api.key_limits import tokens_of
from mlxd.api.keys import CONFIG, REQUESTS, SPENDING, TELEMETRY, TRACER, ReadyModel
from mlxd.api.media.gallery import GALLERY
from mlxd.api.media.prompts import described, media_size
from mlxd.api.tasks import check_task
from mlxd.api.trace import RequestTrace
from mlxd.api.volatile import steady
from mlxd.listener.body import aside
from mlxd.listener.request_id import request_id
from mlxd.listener.security import PRINCIPAL
from mlxd.types import Task
from mlxd.wire.prompts import encoded_size


def handler_of(dialect: Dialect[Any]) -> Handler:
    """Returns the handler of the dialect's route."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await generate(request, dialect)

    return handler


async def generate(request: web.Request, dialect: Dialect[Any]) -> web.StreamResponse:
    """Answers one request. Raises every kind of ``MlxdError`` until a stream's status is out."""
    config = request.app[CONFIG]()
    deadline = Deadline(config.server.request_timeout)
    with RequestTrace(request.app[TELEMETRY], request.app[TRACER], request_id(request), dialect.endpoint, caller(request)) as trace:
        async with deadline.guard():
            opened = await accept(request, trace, dialect.read)
            accepted, models = opened.request, opened.models
            trace.streamed = accepted.streamed
            inline = await aside(opened.size, attrgetter("inline_media"), accepted)
            request[SPENDING].expect_less(tokens_of(inline))
        live, held = trace.live(f"{dialect.answer_prefix}{uuid.uuid4().hex}", deadline.stop), AsyncExitStack()

        async def assign() -> Assignment:
            model = await held.enter_async_context(models.hold(opened.asked))
            check_task(Task.GENERATE, model, models)
            asked = await aside(opened.size, _to_wire, accepted, live.id, model, config.server.volatile_prefixes)
            prompt = await held.enter_async_context(request.app[GALLERY].shown(asked.prompts[0], config.server.media))
            if prompt is not asked.prompts[0]:
                asked = asked.asking(prompt)
                check_size(asked, media_size(prompt))
            jobs = held_by(asked, request[PRINCIPAL])
            check_room(jobs, model)
            if config.log.content:
                trace.prompt = _logged(jobs)
            return Assignment(client=model.client, jobs=jobs, shape=dialect.shape(live.id, model, accepted))

        async with held:
            held.enter_context(request.app[REQUESTS].track(live))
            early_failure = partial(dialect.early_failure, live.id, accepted)
            delivery = Delivery(
                request=request,
                assign=assign,
                early_failure=early_failure,
                sign_of_life=dialect.keep_alive,
                trace=trace,
                deadline=deadline,
            )
            return await (delivery.streamed(config.server.sse_keepalive) if accepted.streamed else delivery.whole())


def _to_wire(accepted: GenerationRequest, identity: str, model: ReadyModel, volatile: Sequence[str]) -> Jobs:
    check_adapter(model)
    jobs = answered_with(steady(accepted.to_wire(identity, model), volatile), model.adapter)
    check_bounds(jobs, model)
    # A text's UTF-8 form is kept with it; to make it when a job is sent would hold up the loop.
    predictions = (job.output.predicted for job in jobs.all[:: jobs.per_prompt])
    check_size(jobs, sum(map(encoded_size, jobs.prompts)) + sum(len(msgspec.msgpack.encode(one)) for one in predictions))
    return jobs


def _logged(jobs: Jobs) -> Any:
    """Returns the prompt as the log shows it; a list where there are several."""
    prompts = [described(prompt) for prompt in jobs.prompts]
    return prompts if len(prompts) > 1 else prompts[0]
