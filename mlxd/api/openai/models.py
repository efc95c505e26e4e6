"""``GET /v1/models`` and ``GET /v1/models/{id}``: what may be asked for, and in which state it is.

Each alias is an entry after its model's, for clients that offer what is listed; ``root`` says whose it is.
"""

from typing import Any

from aiohttp import web

from mlxd.api.keys import MODEL, MODELS
from mlxd.control.model.status import ModelStatus


async def list_models(request: web.Request) -> web.Response:
    """Answers with all configured models and their aliases, loaded or not, in the file's order."""
    listed = [_body(status, name) for status in request.app[MODELS].statuses() for name in (status.name, *status.config.aliases)]
    return web.json_response({"object": "list", "data": listed})


async def show_model(request: web.Request) -> web.Response:
    """Answers with one model by its id or an alias; both may contain "/". Raises ``ModelNotFoundError``."""
    models = request.app[MODELS]
    request[MODEL] = name = models.resolve(request.match_info["id"])
    return web.json_response(_body(models.status(name), name))


def _body(status: ModelStatus, name: str) -> dict[str, Any]:
    """Returns OpenAI's model object, and what operators like to know (``state``, ``aliases``, ``context_length``) beside it."""
    return {
        "id": name,
        "object": "model",
        "created": status.created,
        "owned_by": "mlxd",
        "root": status.name,
        "state": status.state.value,
        "aliases": list(status.config.aliases),
        "context_length": status.ready.context_length if status.ready else status.config.context_length,
    }
