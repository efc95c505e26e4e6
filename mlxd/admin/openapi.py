"""``GET /admin/v1/openapi.json``: the OpenAPI 3.1 description of the admin API, made from its routes and documents."""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from mlxd import __version__
from mlxd.admin import answers
from mlxd.admin.route import JSON, Content, Route
from mlxd.listener.openapi import VERSION, parameters, said, template

ROLE = "x-mlxd-role"  # open: no token needed; read: either token; full

_SUMMARY = "Administration of mlxd: its configuration, its models, their caches and requests."
EVERYWHERE = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_SCHEMA = "#/components/schemas/{name}"
_REFUSAL = "#/components/responses/Refusal{status}"

_PATH_PARAMETERS = {
    "id": ('A model\'s id or one of its aliases, patterns aside; "/" in it as it is or as "%2F".', "smollm2"),
    "adapter": ("An adapter's own name.", "sql"),
    "operation": ("An operation's id.", "op-1"),
    "request": ("A request's id, as its answer and the list of requests have it.", "chatcmpl-1"),
}
_FLAGS = {
    "wait": "Answer when it is over: with 200, or with why it failed.",
    "dry_run": "Only show what would be done: `planned`, `unchanged` or why not.",
}
_REQUEST_HEADERS = {
    "If-Match": "An ETag of the configuration: only if this is the running one. `*`: whatever it is.",
    "If-None-Match": "ETags of the configuration: only if none of these is the running one.",
}
_ANSWER_HEADERS = {
    "ETag": "Of the running configuration.",
    "Location": "Of the operation.",
    "Retry-After": "Seconds after which to try again.",
}
_MEANINGS = {
    HTTPStatus.OK: "Done.",
    HTTPStatus.ACCEPTED: "Begun; Location is where to look at it.",
    HTTPStatus.NOT_MODIFIED: "If-None-Match names the running configuration.",
    HTTPStatus.BAD_REQUEST: "A parameter, a header or the body is not what is expected here.",
    HTTPStatus.UNAUTHORIZED: "A token is required, and there is none or another.",
    HTTPStatus.FORBIDDEN: "The token may only read; or the Host, the Origin or an upgrade is not allowed.",
    HTTPStatus.NOT_FOUND: "There is no such thing.",
    HTTPStatus.REQUEST_TIMEOUT: "The body came too slowly.",
    HTTPStatus.CONFLICT: "A valid configuration that cannot be taken over; nothing has changed.",
    HTTPStatus.PRECONDITION_FAILED: "If-Match names another configuration than the running one; nothing has changed.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than 4 MiB.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "A body has another content type than JSON or TOML.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The configuration has problems; nothing has changed.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Taken over, but a model could not become what it is to be; what was good before serves on.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now, or the model cannot do it; the message says why.",
}


def document(routes: Iterable[Route]) -> bytes:
    """Returns the description as it is served."""
    return json.dumps(describe(routes), indent=1).encode()


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """Returns the description in OpenAPI 3.1."""
    routes = list(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(template(route.path), {})[route.method.lower()] = _operation(route)
    kinds = {kind for route in routes for kind in (*route.answers.values(), route.body) if isinstance(kind, type)}
    _, schemas = msgspec.json.schema_components([*sorted(kinds, key=_name), answers.ErrorAnswer], ref_template=_SCHEMA)
    statuses = sorted({status for route in routes for status in _refusals(route)})
    return {
        "openapi": VERSION,
        "info": {"title": "mlxd admin API", "version": __version__, "summary": _SUMMARY, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {f"Refusal{status}": _answer(status, answers.ErrorAnswer) for status in statuses},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = said(route.handler.__doc__ or "") | {
        "operationId": route.name,
        "responses": {str(int(status)): answer for status, answer in _responses(route).items()},
        "security": [] if route.is_open else [{"token": []}, {}],
        ROLE: "open" if route.is_open else "read" if route.reads else "full",
    }
    given = [*_path_parameters(route), *_flags(route), *_headers(route)]
    if given:
        found["parameters"] = given
    if route.body is not None:
        found["requestBody"] = {"required": True, "content": _content(route.body)}
    return found


def _responses(route: Route) -> Mapping[int, Any]:
    refusals: dict[int, Any] = {status: {"$ref": _REFUSAL.format(status=int(status))} for status in _refusals(route)}
    return {status: _answer(status, kind, route.sends, route.meanings.get(status)) for status, kind in route.answers.items()} | refusals


def _refusals(route: Route) -> list[int]:
    """Returns the statuses of refusals that have no document of their own."""
    everywhere = [int(status) for status in EVERYWHERE if status is not HTTPStatus.UNAUTHORIZED or not route.is_open]
    return sorted({*everywhere, *map(int, route.refusals)} - route.answers.keys())


def _answer(status: int, kind: Content | None, headers: Iterable[str] = (), meaning: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"description": meaning or _MEANINGS[HTTPStatus(status)]}
    if kind is not None:
        found["content"] = _content(kind)
    sent = {name: {"description": _ANSWER_HEADERS[name], "schema": {"type": "string"}} for name in headers if _may_have(status, name)}
    return found | ({"headers": sent} if sent else {})


def _may_have(status: int, header: str) -> bool:
    return {"Location": status == HTTPStatus.ACCEPTED, "Retry-After": status == HTTPStatus.SERVICE_UNAVAILABLE}.get(header, True)


def _content(kind: Content) -> dict[str, Any]:
    if isinstance(kind, str):
        return {kind: {"schema": {"type": "object" if kind == JSON else "string"}}}
    return {JSON: {"schema": {"$ref": _SCHEMA.format(name=_name(kind))}}}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [_parameter("path", name, *_PATH_PARAMETERS[name]) for name in parameters(route.path)]


def _flags(route: Route) -> list[dict[str, Any]]:
    schema = {"type": "string", "enum": ["0", "1", "false", "true"], "default": "0"}
    return [{"name": name, "in": "query", "description": _FLAGS[name], "schema": schema} for name in route.query]


def _headers(route: Route) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", "description": _REQUEST_HEADERS[name], "schema": {"type": "string"}} for name in route.headers]


def _parameter(place: str, name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "examples": [example]}
    return {"name": name, "in": place, "required": True, "description": description, "schema": schema}


def _name(kind: type) -> str:
    return kind.__name__
