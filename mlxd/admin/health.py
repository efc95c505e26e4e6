"""Probes: is the process alive, should it get traffic. They need no token, so that any supervisor can ask."""

from collections import Counter
from http import HTTPStatus

from aiohttp import web

from mlxd.admin import answers
from mlxd.admin.exchange import reply
from mlxd.admin.keys import RULES, SOURCES
from mlxd.types import ModelState

_NEVER_STORED = {"Cache-Control": "no-store"}


async def livez(_: web.Request) -> web.Response:
    """Tell that the daemon is alive, whatever its models do."""
    return reply(answers.Live(live=True), headers=_NEVER_STORED)


async def readyz(request: web.Request) -> web.Response:
    """Tell whether every model is ready that is to be loaded from the start. 503 where one is not, or the daemon is stopping.

    A model that an operator unloaded is not to be ready. Where tokens are configured, models are counted by state and not named, for
    whoever asks may not know them.
    """
    sources, rules = request.app[SOURCES], request.app[RULES]()
    eager = {
        status.name: status.state
        for status in sources.models.statuses()
        if status.config.lifecycle.load == "eager" and (status.desired is ModelState.READY or status.state is not ModelState.STOPPED)
    }
    draining = sources.daemon().draining
    ready = not draining and all(state is ModelState.READY for state in eager.values())
    is_open = not (rules.tokens or rules.read_tokens)
    document = answers.Readiness(ready=ready, draining=draining, states=Counter(eager.values()), models=eager if is_open else None)
    return reply(document, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, _NEVER_STORED)
