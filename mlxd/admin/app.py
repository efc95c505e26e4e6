"""The admin listener's application: health, metrics, status, configuration. Reading only, so far."""

from collections.abc import Callable

from aiohttp import web

from mlxd.admin import config, health, metrics, models, status
from mlxd.admin.keys import METRICS, RULES, SOURCES, AdminSources, Metrics
from mlxd.listener.application import new_application
from mlxd.listener.errors import expect_continue
from mlxd.listener.security import SecurityRules

_ROUTES = {
    "/livez": health.livez,
    "/readyz": health.readyz,
    "/metrics": metrics.scrape,
    "/admin/v1/status": status.show,
    "/admin/v1/config": config.show,
    "/admin/v1/models": models.list_all,
    "/admin/v1/models/{id:.+}": models.show,
}


def build_admin_app(sources: AdminSources, rules: Callable[[], SecurityRules]) -> web.Application:
    """``sources`` and ``rules`` are asked anew at each request, so a reload needs no new application."""
    app = new_application(rules)
    app[SOURCES] = sources
    app[METRICS] = sources.metrics
    app[RULES] = rules
    app.add_routes([web.get(path, handler, expect_handler=expect_continue) for path, handler in _ROUTES.items()])
    return app


def build_metrics_app(source: Metrics, rules: Callable[[], SecurityRules]) -> web.Application:
    """For ``metrics.listen``: /metrics, /livez and nothing else."""
    app = new_application(rules)
    app[METRICS] = source
    app.add_routes([web.get(path, _ROUTES[path], expect_handler=expect_continue) for path in ("/metrics", "/livez")])
    return app
