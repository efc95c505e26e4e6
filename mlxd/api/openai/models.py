"""``GET /v1/models`` and ``GET /v1/models/{id}``: what may be asked for, and in which state it is.

Each alias is an entry after its model's, for clients that offer what is listed; ``root`` says whose it is. A model's adapters follow, whose
``parent`` is the model, as vLLM has it. Patterns are no names, and stand in ``aliases`` alone.
"""

from typing import Any

from aiohttp import web

from mlxd.api.keys import MODEL
from mlxd.api.offers import Offer
from mlxd.api.permitted_models import models_of
from mlxd.types import Ability, ReasoningShape, Task, ToolShape
from mlxd.wire.messages import Ready


async def list_models(request: web.Request) -> web.Response:
    """Answers with all configured models and adapters that the key may ask for and their aliases, loaded or not, in the file's order."""
    listed = [_body(offer, name) for offer in models_of(request).offers() for name in offer.names]
    return web.json_response({"object": "list", "data": listed})


async def show_model(request: web.Request) -> web.Response:
    """Answers with the model that a request for this name goes to; names may contain "/". Raises ``ModelNotFoundError`` or
    ``ModelNotAllowedError``.
    """
    offer = models_of(request).offer(request.match_info["id"])
    request[MODEL] = offer.status.name
    return web.json_response(_body(offer, offer.asked.name))


def _body(offer: Offer, name: str) -> dict[str, Any]:
    """Returns OpenAI's model object, and beside it what operators and front ends like to know: ``max_model_len`` is vLLM's name of the
    context's length. What only a loaded model knows is null before.
    """
    status = offer.status
    context = status.ready.context_length if status.ready else status.config.context_length
    return {
        "id": name,
        "object": "model",
        "created": status.created,
        "owned_by": "mlxd",
        "root": status.name,
        "parent": status.name if offer.adapter else None,
        "state": offer.state,
        "aliases": list(offer.aliases),
        "context_length": context,
        "max_model_len": context,
        "tasks": status.tasks,
        "capabilities": _capabilities(status.ready) if status.ready else None,
    }


def _capabilities(ready: Ready) -> dict[str, Any]:
    """Returns what can be asked of the model; of tools and reasoning, how it writes them, and of vectors how many numbers they are, and to
    how few they may be shortened.
    """
    facts, abilities, encoding = ready.facts, ready.abilities, ready.encoding
    return {
        "chat": facts.chat_template is not None and Task.GENERATE in ready.tasks,
        "tools": None if facts.tools is ToolShape.NONE else facts.tools.value,
        "reasoning": None if facts.reasoning is ReasoningShape.NONE else facts.reasoning.value,
        "structured_output": Ability.CONSTRAINTS in abilities,
        "logprobs": Ability.LOGPROBS in abilities,
        "prompt_logprobs": Ability.PROMPT_LOGPROBS in abilities,
        "images": Ability.IMAGES in abilities,
        "videos": Ability.VIDEOS in abilities,
        "adapters": Ability.ADAPTERS in abilities,
        "embeddings": Task.EMBED in ready.tasks,
        "rerank": Task.RERANK in ready.tasks,
        "dimension": encoding and encoding.dimension,
        "least_dimension": encoding and encoding.least_dimension,
    }
