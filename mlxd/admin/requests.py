"""``GET …/models/{id}/requests`` and ``DELETE …/requests/{request}``: what runs and waits; cancel one."""

from aiohttp import web

from mlxd.admin import answers
from mlxd.admin.exchange import reply
from mlxd.admin.keys import SOURCES
from mlxd.control.live_requests import LiveRequest


async def list_all(request: web.Request) -> web.Response:
    """List the requests of a model that run or wait now."""
    sources = request.app[SOURCES]
    model = sources.models.identify(request.match_info["id"])
    return reply(answers.RequestList(model=model, requests=[_describe(one) for one in sources.requests.of(model)]))


async def cancel(request: web.Request) -> web.Response:
    """End one request. Its client gets the error request_cancelled, on a stream as its last event."""
    sources = request.app[SOURCES]
    model = sources.models.identify(request.match_info["id"])
    return reply(answers.Cancelled(model=model, id=sources.requests.cancel(model, request.match_info["request"]).id))


def _describe(live: LiveRequest) -> answers.Request:
    usage = live.usage()
    return answers.Request(
        id=live.id,
        request_id=live.request_id,
        endpoint=live.endpoint,
        adapter=live.adapter or None,
        key=live.key,
        streamed=live.streamed,
        stage=live.stage,
        arrived=answers.timestamp(live.arrived),
        prompt_tokens=usage.prompt_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else 0,
    )
