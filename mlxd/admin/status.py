"""``GET /admin/v1/status``: the whole daemon at a glance; what ``mlxd status`` prints."""

import time

from aiohttp import web

from mlxd import __version__
from mlxd.admin.keys import SOURCES
from mlxd.admin.models import describe_all, timestamp


async def show(request: web.Request) -> web.Response:
    """Daemon, configuration, listeners and models. ``time`` is the daemon's clock, to count spans from."""
    sources = request.app[SOURCES]
    daemon, config = sources.daemon(), sources.config()
    return web.json_response(
        {
            "time": timestamp(time.time()),
            "version": __version__,
            "pid": daemon.pid,
            "started": timestamp(daemon.started),
            "draining": daemon.draining,
            "config": {
                "path": config.path,
                "sha256": config.sha256,
                "loaded": timestamp(config.loaded),
                "last_reload_successful": config.last_error is None,
                "last_error": config.last_error,
            },
            "listeners": [{"role": listener.role, "address": listener.address} for listener in daemon.listeners],
            "models": describe_all(sources),
        }
    )
