"""The beginning of every request for something that a model makes: its body, the model that it names, and its fields, in this order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiohttp import web

from mlxd.api.bodies import model_name, read_json_body
from mlxd.api.keys import CONFIG, MODEL, Models
from mlxd.api.permitted_models import models_of
from mlxd.api.trace import RequestTrace
from mlxd.config.values import UnknownFields
from mlxd.control.model_names import Asked
from mlxd.listener.body import aside

R = TypeVar("R")


@dataclass(frozen=True)
class Accepted(Generic[R]):
    """A request in which every field is right. ``size`` are the bytes of its body, and ``models`` those that whoever asks may ask for."""

    request: R
    asked: Asked
    models: Models
    size: int


async def accept(request: web.Request, trace: RequestTrace, read: Callable[[Mapping[str, Any], UnknownFields], R]) -> Accepted[R]:
    """Returns what ``read`` makes of the body; the trace knows the model as soon as it is found. Raises every kind of ``RequestError``."""
    unknown = request.app[CONFIG]().server.unknown_fields  # as they were when the request came
    body = await read_json_body(request)
    name, models = model_name(body.document), models_of(request)
    asked = models.resolve(name)
    request[MODEL] = trace.model = asked.model
    trace.requested_model, trace.adapter = name, asked.adapter
    accepted = await aside(body.size, read, body.document, unknown)
    return Accepted(accepted, asked, models, body.size)
