"""``GET /admin/v1/status``: the whole daemon at a glance; what ``mlxd status`` prints."""

import time

from aiohttp import web

from mlxd import __version__
from mlxd.admin import answers
from mlxd.admin.exchange import reply
from mlxd.admin.keys import SOURCES, ListenerFacts
from mlxd.admin.memory import totals
from mlxd.admin.models import describe_all
from mlxd.config.certificates import CertificateState
from mlxd.listener.certificates import warnings_about


async def show(request: web.Request) -> web.Response:
    """Show the daemon, its configuration, its listeners and its models."""
    sources = request.app[SOURCES]
    daemon, config = sources.daemon(), sources.config()
    return reply(
        answers.Status(
            time=answers.timestamp(time.time()),
            version=__version__,
            pid=daemon.pid,
            started=answers.timestamp(daemon.started),
            draining=daemon.draining,
            config=answers.ConfigState(
                path=config.path,
                sha256=config.sha256,
                loaded=answers.timestamp(config.loaded),
                last_reload_successful=config.successful,
                last_error=config.last_error,
            ),
            listeners=[_listener(one) for one in daemon.listeners],
            memory=totals(sources.memory()),
            models=describe_all(sources),
        )
    )


def _listener(one: ListenerFacts) -> answers.ListenerState:
    certificate = None if one.certificate is None else _certificate(one.certificate)
    return answers.ListenerState(role=one.role, address=one.address, certificate=certificate)


def _certificate(state: CertificateState) -> answers.Certificate:
    return answers.Certificate(
        path=str(state.files.certificate),
        names=state.facts.names,
        expires=answers.timestamp(state.facts.expires),
        warnings=[text for _, text in warnings_about(state.facts, time.time())],
        problem=state.problem,
    )
