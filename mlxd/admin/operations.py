"""``POST …/models/{id}/load``, ``/unload``, ``/drain``, ``/restart``: begun at once; ``?wait=1`` answers when it is over."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from mlxd.admin import answers
from mlxd.admin.exchange import error_body, flag, reply
from mlxd.admin.keys import SOURCES, Models
from mlxd.control.operations import Operation, OperationKind
from mlxd.errors import ModelFailedError


async def load(request: web.Request) -> web.Response:
    """Load a model, and keep it loaded. One that has failed is tried again; one that was drained serves again."""
    return await _begin(request, OperationKind.LOAD, lambda models, name: models.load(name))


async def unload(request: web.Request) -> web.Response:
    """End a model's worker, once its requests are done. The next request loads it again."""
    return await _begin(request, OperationKind.UNLOAD, lambda models, name: models.unload(name))


async def drain(request: web.Request) -> web.Response:
    """Take a model out of service. As unload, but its requests are refused until it is loaded again."""
    return await _begin(request, OperationKind.DRAIN, lambda models, name: models.drain(name))


async def restart(request: web.Request) -> web.Response:
    """Give a model a new worker. The old one serves until the new one is ready, where memory allows both."""
    return await _begin(request, OperationKind.RESTART, lambda models, name: models.restart(name))


async def list_all(request: web.Request) -> web.Response:
    """List the operations that run, and the last that have ended."""
    return reply(answers.OperationList(operations=[describe(one) for one in request.app[SOURCES].operations.all()]))


async def show(request: web.Request) -> web.Response:
    """Show one operation: whether it runs still, and why it failed if it did."""
    return reply(describe(request.app[SOURCES].operations.get(request.match_info["operation"])))


def describe(operation: Operation) -> answers.Operation:
    return answers.Operation(
        id=operation.id,
        kind=operation.kind,
        model=operation.model,
        adapter=operation.adapter or None,
        state=operation.state,
        error=None if operation.error is None else error_body(operation.error),
        started=answers.timestamp(operation.started),
        finished=None if operation.finished is None else answers.timestamp(operation.finished),
    )


async def _begin(request: web.Request, kind: OperationKind, act: Callable[[Models, str], None]) -> web.Response:
    """Begins an operation of a model, and answers with it."""
    sources = request.app[SOURCES]
    wait, model = flag(request, "wait"), sources.models.identify(request.match_info["id"])
    act(sources.models, model)
    return await answer(sources.operations.begin(kind, model, _finish(sources.models, model)), wait=wait)


async def answer(operation: Operation, *, wait: bool) -> web.Response:
    """Answers 202 with what has begun or, where its end is waited for, 200 when it has succeeded, else its error."""
    if wait:
        await operation.wait()
        if operation.error is not None:
            raise operation.error
        return reply(describe(operation))
    return reply(describe(operation), HTTPStatus.ACCEPTED, {hdrs.LOCATION: f"/admin/v1/operations/{operation.id}"})


def _finish(models: Models, model: str) -> Coroutine[Any, Any, None]:
    async def finish() -> None:
        reason = await models.wait_model_settled(model)
        if reason is not None:
            raise ModelFailedError(f'the model "{model}": {reason}')

    return finish()
