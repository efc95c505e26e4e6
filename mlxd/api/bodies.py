"""What requests carry: a JSON object that names a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from mlxd.api.keys import CONFIG
from mlxd.errors import InvalidRequestError
from mlxd.listener.body import BodyLimits, aside, read_body
from mlxd.listener.json_text import json_type, parse_json_object


@dataclass(frozen=True)
class JsonBody:
    """A body's object, and the bytes that it took."""

    document: Mapping[str, Any]
    size: int


async def read_json_body(request: web.Request) -> JsonBody:
    """Reads the body. Raises ``BodyTooLargeError``, ``RequestTimeoutError`` or ``InvalidRequestError``."""
    sent = await read_body(request, BodyLimits(max_size=request.app[CONFIG]().server.max_body, setting="server.max_body"))
    return JsonBody(await aside(len(sent), parse_json_object, sent), len(sent))


def model_name(document: Mapping[str, Any]) -> str:
    """Returns the model a body asks for. It is looked at before anything else, for an unknown one is a 404 whatever else is wrong. Raises
    ``InvalidRequestError`` where it names none.
    """
    name = document.get("model")
    if name is None:
        raise InvalidRequestError("model is required; GET /v1/models lists the names", param="model")
    if not isinstance(name, str):
        raise InvalidRequestError(f"model must be a string, not {json_type(name)}", param="model")
    return name
