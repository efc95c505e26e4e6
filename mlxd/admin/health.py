"""Probes: is the process alive, should it get traffic. They need no token, so that any supervisor can ask."""

from collections import Counter

from aiohttp import web

from mlxd.admin.keys import RULES, SOURCES
from mlxd.types import ModelState

_NEVER_STORED = {"Cache-Control": "no-store"}


async def livez(_: web.Request) -> web.Response:
    """200 as soon as the event loop runs, whatever the models do."""
    return web.json_response({"live": True}, headers=_NEVER_STORED)


async def readyz(request: web.Request) -> web.Response:
    """200 when every eager model is ready and the daemon is not draining; else 503. The body says why.

    Where tokens are configured, models are counted by state and not named, for whoever asks may not know them.
    """
    sources, rules = request.app[SOURCES], request.app[RULES]()
    eager = {status.name: status.state for status in sources.models.statuses() if status.config.lifecycle.load == "eager"}
    draining = sources.daemon().draining
    ready = not draining and all(state is ModelState.READY for state in eager.values())
    body = {"ready": ready, "draining": draining, "states": Counter(eager.values())}
    if not (rules.tokens or rules.read_tokens):
        body["models"] = eager
    return web.json_response(body, status=200 if ready else 503, headers=_NEVER_STORED)
