"""``GET /admin/v1/openapi.json``: the OpenAPI 3.1 description of the admin API, made from its routes and documents."""

import inspect
import json
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from mlxd import __version__
from mlxd.admin import answers
from mlxd.admin.route import Route

DOCUMENT = web.AppKey("openapi", bytes)

_EVERYWHERE = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)  # of the listener's own rules
_REFS = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_PARAMETERS = {
    "id": 'A model\'s id or one of its aliases; "/" in it as it is or as "%2F".',
    "operation": "An operation's id.",
    "request": "A request's id, as its answer and the list of requests have it.",
}
_FLAGS = {
    "wait": "Answer when it is over, not at once.",
    "dry_run": "Only show what would be done.",
}
_HEADERS = {
    "If-Match": "An ETag of the configuration: only if this is the running one.",
    "If-None-Match": "An ETag of the configuration: only if this is not the running one.",
}
_SUMMARY = "Administration of mlxd: its configuration, its models, their caches and requests."


async def show(request: web.Request) -> web.Response:
    """Show this description."""
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")


def document(routes: Iterable[Route]) -> bytes:
    """As it is served."""
    return json.dumps(describe(routes), indent=1).encode()


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """OpenAPI 3.1."""
    routes = list(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route)
    kinds = {kind for route in routes for kind in (*route.answers.values(), route.body) if isinstance(kind, type)}
    _, schemas = msgspec.json.schema_components([*sorted(kinds, key=_name), answers.ErrorAnswer], ref_template=_REFS)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mlxd admin API", "version": __version__, "summary": _SUMMARY, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(route: Route) -> dict[str, Any]:
    summary, _, rest = inspect.cleandoc(route.handler.__doc__ or "").partition(". ")
    found: dict[str, Any] = {
        "operationId": route.name,
        "summary": " ".join(summary.split()).rstrip("."),
        "responses": {str(int(status)): answer for status, answer in _responses(route).items()},
        "security": [] if route.is_open else [{"token": []}, {}],
    }
    if rest:
        found["description"] = " ".join(rest.split())
    parameters = [*_path_parameters(route), *_flags(route), *_headers(route)]
    if parameters:
        found["parameters"] = parameters
    if route.body is not None:
        found["requestBody"] = {"required": True, "content": _content(route.body)}
    return found


def _responses(route: Route) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for status, kind in route.answers.items():
        found[status] = {"description": HTTPStatus(status).phrase} | ({} if kind is None else {"content": _content(kind)})
    refused = set(_EVERYWHERE) | set(route.refusals)
    for status in sorted(refused - found.keys()):
        found[status] = {"description": HTTPStatus(status).phrase, "content": _content(answers.ErrorAnswer)}
    return found


def _content(kind: type[msgspec.Struct] | str) -> dict[str, Any]:
    if isinstance(kind, str):
        return {kind: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": {"$ref": _REFS.format(name=_name(kind))}}}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "description": _PARAMETERS[name], "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(route.path)
    ]


def _flags(route: Route) -> list[dict[str, Any]]:
    schema = {"type": "string", "enum": ["0", "1", "false", "true"], "default": "0"}
    return [{"name": name, "in": "query", "description": _FLAGS[name], "schema": schema} for name in route.query]


def _headers(route: Route) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", "description": _HEADERS[name], "schema": {"type": "string"}} for name in route.headers]


def _name(kind: type) -> str:
    return kind.__name__
