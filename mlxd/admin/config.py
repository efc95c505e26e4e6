"""The configuration: what runs, what another text would change, and taking the file over."""

import asyncio
from http import HTTPStatus

from aiohttp import hdrs, web

from mlxd.admin import answers
from mlxd.admin.exchange import error_body, flag, read_text, reply
from mlxd.admin.keys import SOURCES
from mlxd.config.diff import Change
from mlxd.control.planner import Plan
from mlxd.control.reload import Outcome, Result, Trigger
from mlxd.errors import ConfigError, InvalidRequestError, MlxdError, ReloadFailedError, ReloadRefusedError, StaleConfigError

_ANY = "*"


async def show(request: web.Request) -> web.Response:
    """Show the running configuration, secrets redacted. Its ETag is the SHA-256 of the file."""
    running = request.app[SOURCES].config()
    headers = {hdrs.ETAG: f'"{running.sha256}"', hdrs.CACHE_CONTROL: "no-cache"}
    if any(tag.value in {running.sha256, _ANY} for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.json_response(running.document(), headers=headers)


async def validate(request: web.Request) -> web.Response:
    """Check the text of a configuration file. 422 names everything that is wrong with it; nothing is taken over. What `env:` and `file:`
    stand for is not looked up, so neither is whether they stand for anything.
    """
    text = await read_text(request)
    models = await asyncio.to_thread(request.app[SOURCES].validate, text)
    return reply(answers.Validation(valid=True, models=models))


async def diff(request: web.Request) -> web.Response:
    """Show what taking over another text of the configuration file would do. Nothing is taken over. Secrets are compared as they
    are written: the same `env:` or `file:` is the same secret.
    """
    return _answer(await request.app[SOURCES].reloads.compare(await read_text(request)))


async def reload(request: web.Request) -> web.Response:
    """Take over the configuration file as it is now, and answer when that is done. A client that
    does not wait stops nothing.
    """
    reloads, if_match = request.app[SOURCES].reloads, _if_match(request)
    if flag(request, "dry_run"):
        return _answer(await reloads.dry_run(if_match=if_match))
    return _answer(await reloads.reload(Trigger.API, if_match=if_match))


def _if_match(request: web.Request) -> str | None:
    if hdrs.IF_MATCH not in request.headers:
        return None
    tags = request.if_match or ()
    if any(tag.value == _ANY for tag in tags):
        return None
    if len(tags) != 1 or tags[0].is_weak:
        raise InvalidRequestError("If-Match must name one configuration, as the ETag of GET /admin/v1/config has it", param="If-Match")
    return tags[0].value


def describe_outcome(outcome: Outcome) -> answers.ReloadOutcome:
    error = _error(outcome)
    return answers.ReloadOutcome(
        result=outcome.result,
        sha256=outcome.sha256,
        plan=_plan(outcome.plan),
        problems=outcome.problems,
        models=dict(outcome.models),
        error=None if error is None else error_body(error),
    )


def _answer(outcome: Outcome) -> web.Response:
    error = _error(outcome)
    status = HTTPStatus.OK if error is None else HTTPStatus(error.status)
    return reply(describe_outcome(outcome), status, {hdrs.ETAG: f'"{outcome.sha256}"'})


def _error(outcome: Outcome) -> MlxdError | None:
    message = "\n".join(outcome.problems)
    match outcome.result:
        case Result.INVALID:
            return ConfigError(list(outcome.problems))
        case Result.REFUSED:
            return ReloadRefusedError(message)
        case Result.STALE:
            return StaleConfigError(message)
        case Result.FAILED:
            return ReloadFailedError(message)
        case _:
            return None


def _plan(plan: Plan) -> answers.PlanDocument:
    return answers.PlanDocument(
        models=[
            answers.ModelAction(model=one.name, action=one.action, changes=[_change(change) for change in one.changes])
            for one in plan.models
        ],
        listeners=[
            answers.ListenerAction(
                role=one.role, opened=[str(address) for address in one.opened], closed=[str(address) for address in one.closed]
            )
            for one in plan.listeners
        ],
        live=[_change(change) for change in plan.live],
        refused=[_change(change) for change in plan.refused],
        caches=[answers.CacheShareChange(model=one.model, before_bytes=one.before, after_bytes=one.after) for one in plan.caches],
    )


def _change(change: Change) -> answers.FieldChange:
    return answers.FieldChange(key=change.name, before=change.before, after=change.after, reload=change.reload, line=change.line)
