"""``GET /v1/models`` and ``GET /v1/models/{id}``: what may be asked for, and in which state it is.

Each alias is an entry after its model's, for clients that offer what is listed; ``root`` says whose it is. Patterns are no names, and stand
in ``aliases`` alone.
"""

from typing import Any

from aiohttp import web

from mlxd.api.keys import MODEL
from mlxd.api.permitted_models import models_of
from mlxd.config.names import without_patterns
from mlxd.control.model.status import ModelStatus
from mlxd.types import Ability, ReasoningShape, ToolShape
from mlxd.wire.messages import Ready


async def list_models(request: web.Request) -> web.Response:
    """Answers with all configured models that the key may ask for and their aliases, loaded or not, in the file's order."""
    listed = [
        _body(status, name) for status in models_of(request).statuses() for name in (status.name, *without_patterns(status.config.aliases))
    ]
    return web.json_response({"object": "list", "data": listed})


async def show_model(request: web.Request) -> web.Response:
    """Answers with the model that a request for this name goes to; names may contain "/". Raises ``ModelNotFoundError`` or
    ``ModelNotAllowedError``.
    """
    models = models_of(request)
    request[MODEL] = name = models.resolve(request.match_info["id"]).model
    return web.json_response(_body(models.status(name), name))


def _body(status: ModelStatus, name: str) -> dict[str, Any]:
    """Returns OpenAI's model object, and beside it what operators and front ends like to know: ``max_model_len`` is vLLM's name of the
    context's length. What only a loaded model knows is null before.
    """
    context = status.ready.context_length if status.ready else status.config.context_length
    return {
        "id": name,
        "object": "model",
        "created": status.created,
        "owned_by": "mlxd",
        "root": status.name,
        "state": status.state.value,
        "aliases": list(status.config.aliases),
        "context_length": context,
        "max_model_len": context,
        "capabilities": _capabilities(status.ready) if status.ready else None,
    }


def _capabilities(ready: Ready) -> dict[str, Any]:
    """Returns what can be asked of the model; of tools and reasoning, how it writes them."""
    facts, abilities = ready.facts, ready.abilities
    return {
        "chat": facts.chat_template is not None,
        "tools": None if facts.tools is ToolShape.NONE else facts.tools.value,
        "reasoning": None if facts.reasoning is ReasoningShape.NONE else facts.reasoning.value,
        "structured_output": Ability.CONSTRAINTS in abilities,
        "logprobs": Ability.LOGPROBS in abilities,
        "prompt_logprobs": Ability.PROMPT_LOGPROBS in abilities,
        "images": Ability.IMAGES in abilities,
        "videos": Ability.VIDEOS in abilities,
    }
