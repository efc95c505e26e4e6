"""``GET /health``: may this listener be sent requests? It needs no token, so it names no model."""

from aiohttp import web

from mlxd.api.keys import MODELS
from mlxd.types import ModelState

# With no model ready, the most hopeful state of any speaks for all.
_BY_HOPE = (ModelState.LOADING, ModelState.DRAINING, ModelState.STOPPED, ModelState.FAILED)


async def health(request: web.Request) -> web.Response:
    """200 ``{"status": "ok"}`` while at least one model is ready, else 503 with the state that keeps it from being so.

    The admin listener's ``/livez`` and ``/readyz`` tell more.
    """
    states = {status.state for status in request.app[MODELS].statuses()}
    if ModelState.READY in states:
        return web.json_response({"status": "ok"})
    status = next((state.value for state in _BY_HOPE if state in states), "no models")
    return web.json_response({"status": status}, status=503)
