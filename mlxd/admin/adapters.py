"""``…/models/{id}/adapters``: the adapters of a model; load one before anybody asks for it, and unload one."""

from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from mlxd.adapter_terms import AdapterFigures
from mlxd.admin import answers
from mlxd.admin.exchange import flag, reply
from mlxd.admin.keys import SOURCES
from mlxd.admin.operations import answer
from mlxd.config.given_names import Asked
from mlxd.control.model.status import ModelStatus
from mlxd.control.operations import OperationKind
from mlxd.errors import AdapterFailedError, AdapterNotFoundError, ModelSourceError, excerpt


async def list_all(request: web.Request) -> web.Response:
    """List the adapters of a model."""
    status = request.app[SOURCES].models.status(request.match_info["id"])
    described = [describe(status, figures) for figures in status.adapters]
    return reply(
        answers.AdapterList(
            model=status.name,
            limit_bytes=status.limits.adapter_bytes if status.limits else 0,
            used_bytes=status.heartbeat.memory.adapters if status.heartbeat else 0,
            adapters=described,
        )
    )


async def show(request: web.Request) -> web.Response:
    """Show one adapter of a model."""
    status, name = request.app[SOURCES].models.status(request.match_info["id"]), request.match_info["adapter"]
    return reply(describe(status, _figures(status, name)))


async def load(request: web.Request) -> web.Response:
    """Load an adapter before anybody asks for it. One that has failed is tried again. Its model has to be ready."""
    return await _begin(request, OperationKind.LOAD_ADAPTER)


async def unload(request: web.Request) -> web.Response:
    """Give back an adapter's memory, once no request has it any more. The next request that names it loads it again."""
    return await _begin(request, OperationKind.UNLOAD_ADAPTER)


def describe(status: ModelStatus, figures: AdapterFigures) -> answers.Adapter:
    """Describes an adapter of a model."""
    table = status.config.adapters[figures.name]
    is_read = figures.format is not None
    return answers.Adapter(
        name=figures.name,
        id=Asked(status.name, figures.name).name,
        aliases=table.aliases,
        source=table.source,
        load=table.load,
        pinned=table.pin,
        state=figures.state,
        reason=figures.reason or None,
        format=figures.format,
        rank=figures.rank if is_read else None,
        scale=figures.scale if is_read else None,
        layers=figures.layers if is_read else None,
        bytes=figures.bytes,
        requests=figures.requests,
        loads=figures.loads,
        evictions=figures.evictions,
    )


def _figures(status: ModelStatus, name: str) -> AdapterFigures:
    """Returns an adapter's figures. Raises ``AdapterNotFoundError``."""
    found = next((one for one in status.adapters if one.name == name), None)
    if found is None:
        known = ", ".join(status.config.adapters) or "none"
        raise AdapterNotFoundError(f'the model "{status.name}" has no adapter "{excerpt(name)}"; there are: {known}')
    return found


async def _begin(request: web.Request, kind: OperationKind) -> web.Response:
    """Begins an operation. Answers as those of models do."""
    sources, wait = request.app[SOURCES], flag(request, "wait")
    status = sources.models.status(request.match_info["id"])
    name = _figures(status, request.match_info["adapter"]).name
    act = sources.models.load_adapter if kind is OperationKind.LOAD_ADAPTER else sources.models.unload_adapter
    work = _finish(act(status.name, name), Asked(status.name, name))
    return await answer(sources.operations.begin(kind, status.name, work, adapter=name), wait=wait)


async def _finish(work: Coroutine[Any, Any, None], asked: Asked) -> None:
    """Does it. What is wrong with the adapter's files is why it failed, and no fault of the daemon's."""
    try:
        await work
    except ModelSourceError as error:
        raise AdapterFailedError(f'the adapter "{asked.name}": {error.message}') from error
    finally:
        work.close()
