"""``GET /v1/models`` and ``GET /v1/models/{id}``: what may be asked for, and in which state it is.

Aliases are no entries of their own (each model is listed once) but a field of their model's; as an id they work.
"""

from typing import Any

from aiohttp import web

from mlxd.api.keys import MODEL, MODELS
from mlxd.control.model.status import ModelStatus


async def list_models(request: web.Request) -> web.Response:
    """All configured models, loaded or not, in the file's order."""
    return web.json_response({"object": "list", "data": [_body(status) for status in request.app[MODELS].statuses()]})


async def show_model(request: web.Request) -> web.Response:
    """One model by its id or an alias; both may contain "/". Raises ``ModelNotFoundError``."""
    models = request.app[MODELS]
    request[MODEL] = name = models.resolve(request.match_info["id"])
    return web.json_response(_body(models.status(name)))


def _body(status: ModelStatus) -> dict[str, Any]:
    """OpenAI's model object, and what operators like to know (``state``, ``aliases``, ``context_length``) beside it."""
    return {
        "id": status.name,
        "object": "model",
        "created": status.created,
        "owned_by": "mlxd",
        "state": status.state.value,
        "aliases": list(status.config.aliases),
        "context_length": status.ready.context_length if status.ready else status.config.context_length,
    }
