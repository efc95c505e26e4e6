"""``GET /health``: may this listener be sent requests? It needs no token, so it names no model."""

from aiohttp import web

from mlxd.api.keys import MODELS
from mlxd.types import ModelState

# With no model that can serve, the most hopeful state of any speaks for all.
_BY_HOPE = (ModelState.LOADING, ModelState.DRAINING, ModelState.STOPPED, ModelState.FAILED)


async def health(request: web.Request) -> web.Response:
    """Answers 200 ``{"status": "ok"}`` while at least one model is ready, or would be loaded by the next request for it, as lazy and idle
    ones are; else 503 with the state that keeps it from that.

    The admin listener's ``/livez`` and ``/readyz`` tell more.
    """
    models = list(request.app[MODELS].statuses())
    if any(model.state is ModelState.READY or model.on_demand for model in models):
        return web.json_response({"status": "ok"})
    states = {model.state for model in models}
    status = next((state.value for state in _BY_HOPE if state in states), "no models")
    return web.json_response({"status": status}, status=503)
