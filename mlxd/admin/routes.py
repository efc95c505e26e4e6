"""Every call of the admin API, declared once: for the router and for its OpenAPI description."""

from http import HTTPStatus
from typing import Literal

import msgspec
from aiohttp import hdrs
from aiohttp.typedefs import Handler

from mlxd.admin import (
    adapters,
    answers,
    cache,
    config,
    disk,
    health,
    holders,
    log_level,
    memory,
    metrics,
    models,
    operations,
    requests,
    status,
)
from mlxd.admin.route import JSON, TOML, Route
from mlxd.listener import openapi

_V1 = "/admin/v1"
_MODEL = f"{_V1}/models/{{id:.+}}"
_ADAPTER = f"{_MODEL}/adapters/{{adapter}}"
_BODY_REFUSALS = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)  # beside those that hold for every call


def _get(path: str, name: str, handler: Handler, answer: type[msgspec.Struct], *, missing: bool = False) -> Route:
    refusals = (HTTPStatus.NOT_FOUND,) if missing else ()
    return Route(
        method=hdrs.METH_GET, path=path, name=name, handler=handler, answers={HTTPStatus.OK: answer}, refusals=refusals, reads=True
    )


def _operation(verb: str, handler: Handler, of: Literal["Model", "Adapter"] = "Model") -> Route:
    return Route(
        method=hdrs.METH_POST,
        path=f"{_ADAPTER if of == 'Adapter' else _MODEL}/{verb}",
        name=f"{verb}{of}",
        handler=handler,
        answers={HTTPStatus.OK: answers.Operation, HTTPStatus.ACCEPTED: answers.Operation},
        meanings={HTTPStatus.OK: "With `wait`: it is over, and has succeeded."},
        refusals=(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
        query=("wait",),
        sends=("Location", "Retry-After"),
    )


# The more specific path first: an id may have slashes.
ROUTES: tuple[Route, ...] = (
    Route(
        method=hdrs.METH_GET,
        path="/livez",
        name="livez",
        handler=health.livez,
        answers={HTTPStatus.OK: answers.Live},
        reads=True,
        is_open=True,
    ),
    Route(
        method=hdrs.METH_GET,
        path="/readyz",
        name="readyz",
        handler=health.readyz,
        answers={HTTPStatus.OK: answers.Readiness, HTTPStatus.SERVICE_UNAVAILABLE: answers.Readiness},
        meanings={HTTPStatus.OK: "Ready.", HTTPStatus.SERVICE_UNAVAILABLE: "Not ready, or stopping."},
        reads=True,
        is_open=True,
    ),
    Route(
        method=hdrs.METH_GET,
        path="/metrics",
        name="metrics",
        handler=metrics.scrape,
        answers={HTTPStatus.OK: "text/plain"},
        refusals=(HTTPStatus.NOT_FOUND,),
        reads=True,
    ),
    Route(
        method=hdrs.METH_GET,
        path="/metrics/vllm",
        name="vllmMetrics",
        handler=metrics.scrape_vllm,
        answers={HTTPStatus.OK: "text/plain"},
        refusals=(HTTPStatus.NOT_FOUND,),
        reads=True,
    ),
    _get(f"{_V1}/status", "showStatus", status.show, answers.Status),
    Route(
        method=hdrs.METH_GET,
        path=f"{_V1}/config",
        name="showConfig",
        handler=config.show,
        answers={HTTPStatus.OK: answers.ConfigDocument, HTTPStatus.NOT_MODIFIED: None},
        headers=("If-None-Match",),
        sends=("ETag",),
        reads=True,
    ),
    Route(
        method=hdrs.METH_POST,
        path=f"{_V1}/config/validate",
        name="validateConfig",
        handler=config.validate,
        answers={HTTPStatus.OK: answers.Validation},
        refusals=(HTTPStatus.UNPROCESSABLE_ENTITY, *_BODY_REFUSALS),
        body=TOML,
        reads=True,
    ),
    Route(
        method=hdrs.METH_POST,
        path=f"{_V1}/config/diff",
        name="diffConfig",
        handler=config.diff,
        answers={
            HTTPStatus.OK: answers.ReloadOutcome,
            HTTPStatus.CONFLICT: answers.ReloadOutcome,
            HTTPStatus.UNPROCESSABLE_ENTITY: answers.ReloadOutcome,
        },
        refusals=_BODY_REFUSALS,
        sends=("ETag",),
        body=TOML,
        reads=True,
    ),
    Route(
        method=hdrs.METH_POST,
        path=f"{_V1}/reload",
        name="reload",
        handler=config.reload,
        answers={
            HTTPStatus.OK: answers.ReloadOutcome,
            HTTPStatus.CONFLICT: answers.ReloadOutcome,
            HTTPStatus.PRECONDITION_FAILED: answers.ReloadOutcome,
            HTTPStatus.UNPROCESSABLE_ENTITY: answers.ReloadOutcome,
            HTTPStatus.INTERNAL_SERVER_ERROR: answers.ReloadOutcome,
        },
        refusals=(HTTPStatus.SERVICE_UNAVAILABLE,),
        query=("dry_run",),
        headers=("If-Match",),
        sends=("ETag", "Retry-After"),
    ),
    _get(f"{_V1}/models", "listModels", models.list_all, answers.ModelList),
    _operation("load", adapters.load, of="Adapter"),
    _operation("unload", adapters.unload, of="Adapter"),
    _operation("load", operations.load),
    _operation("unload", operations.unload),
    _operation("drain", operations.drain),
    _operation("restart", operations.restart),
    Route(
        method=hdrs.METH_POST,
        path=f"{_MODEL}/evict",
        name="evictModel",
        handler=cache.evict,
        answers={HTTPStatus.OK: answers.Eviction},
        refusals=(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
        sends=("Retry-After",),
    ),
    Route(
        method=hdrs.METH_DELETE,
        path=f"{_MODEL}/cache",
        name="removeModelCache",
        handler=disk.remove,
        answers={HTTPStatus.OK: answers.DiskRemovalList},
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
    _get(f"{_MODEL}/adapters", "listAdapters", adapters.list_all, answers.AdapterList, missing=True),
    _get(_ADAPTER, "showAdapter", adapters.show, answers.Adapter, missing=True),
    _get(f"{_MODEL}/requests", "listRequests", requests.list_all, answers.RequestList, missing=True),
    Route(
        method=hdrs.METH_DELETE,
        path=f"{_MODEL}/requests/{{request}}",
        name="cancelRequest",
        handler=requests.cancel,
        answers={HTTPStatus.OK: answers.Cancelled},
        refusals=(HTTPStatus.NOT_FOUND,),
    ),
    _get(_MODEL, "showModel", models.show, answers.Model, missing=True),
    Route(
        method=hdrs.METH_POST,
        path=f"{_V1}/evict",
        name="evictAll",
        handler=cache.evict_all,
        answers={HTTPStatus.OK: answers.EvictionList},
    ),
    _get(f"{_V1}/cache", "showCache", disk.show, answers.DiskDirectoryList),
    Route(
        method=hdrs.METH_DELETE,
        path=f"{_V1}/cache",
        name="removeCache",
        handler=disk.remove_all,
        answers={HTTPStatus.OK: answers.DiskRemovalList},
    ),
    _get(f"{_V1}/operations", "listOperations", operations.list_all, answers.OperationList),
    _get(f"{_V1}/operations/{{operation}}", "showOperation", operations.show, answers.Operation, missing=True),
    _get(f"{_V1}/memory", "showMemory", memory.show, answers.Memory),
    _get(f"{_V1}/keys", "listKeys", holders.list_all, answers.ApiKeyList),
    Route(
        method=hdrs.METH_PUT,
        path=f"{_V1}/log-level",
        name="setLogLevel",
        handler=log_level.put,
        answers={HTTPStatus.OK: answers.LogLevel},
        refusals=_BODY_REFUSALS,
        body=answers.LogLevel,
    ),
    Route(
        method=hdrs.METH_GET,
        path=f"{_V1}/openapi.json",
        name="openapi",
        handler=openapi.show,
        answers={HTTPStatus.OK: JSON},
        reads=True,
    ),
)
