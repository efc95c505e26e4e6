"""The admin listener's application: every path it answers."""

from collections.abc import Callable, Iterable
from functools import cache, partial

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from mlxd.admin import openapi
from mlxd.admin.audit import audit_middleware
from mlxd.admin.exchange import BODY_LIMITS, LIMITS, refuse_body, refuse_unknown
from mlxd.admin.keys import METRICS, RULES, SOURCES, VLLM_METRICS, AdminSources, Metrics
from mlxd.admin.route import JSON, TOML, Route
from mlxd.admin.routes import ROUTES
from mlxd.config.schema import AdminTable
from mlxd.listener.application import new_application
from mlxd.listener.body import BodyLimits
from mlxd.listener.framing import expect_continue
from mlxd.listener.openapi import DOCUMENT
from mlxd.listener.security import SecurityRules, admin_rules

_OF_METRICS_LISTENER = ("/metrics", "/metrics/vllm", "/livez")


def build_admin_app(sources: AdminSources, rules: Callable[[], SecurityRules], limits: BodyLimits = BODY_LIMITS) -> web.Application:
    """Returns the admin application. ``sources`` and ``rules`` are asked anew at each request, so a reload needs no new one."""
    app = new_application(rules, before_security=[audit_middleware])
    app[SOURCES] = sources
    app[METRICS], app[VLLM_METRICS] = sources.metrics, sources.vllm_metrics
    app[RULES] = rules
    app[LIMITS] = limits
    described: Callable[[], bytes] = cache(partial(openapi.document, ROUTES))  # made for who asks for it
    app[DOCUMENT] = described
    _add(app, ROUTES)
    return app


def build_metrics_app(metrics: Metrics, vllm_metrics: Metrics, rules: Callable[[], SecurityRules]) -> web.Application:
    """Returns the application for ``metrics.listen``: /metrics, /metrics/vllm, /livez and nothing else."""
    app = new_application(rules)
    app[METRICS], app[VLLM_METRICS] = metrics, vllm_metrics
    _add(app, [route for route in ROUTES if route.path in _OF_METRICS_LISTENER])
    return app


def rules_of(admin: AdminTable) -> SecurityRules:
    """Returns the rules of ``[admin]``: a read token may also ask what another text would change, and a configuration is sent as TOML."""
    reads = frozenset((route.method, route.path) for route in ROUTES if route.reads)
    return admin_rules(admin, content_types=frozenset({JSON, TOML}), reading_calls=reads)


def _add(app: web.Application, routes: Iterable[Route]) -> None:
    for route in routes:
        if route.method == hdrs.METH_GET:
            app.router.add_get(route.path, route.handler, expect_handler=expect_continue)  # and HEAD
        else:
            app.router.add_route(route.method, route.path, _strict(route), expect_handler=expect_continue)


def _strict(route: Route) -> Handler:
    """Refuses what the call does not know: ``?dryrun=1`` asks for no dry run, so nothing is done. What only reads may have parameters of a
    scraper or a probe.
    """

    async def handler(request: web.Request) -> web.StreamResponse:
        refuse_unknown(request, route.query, route.content_type)
        if route.content_type is None:
            await refuse_body(request)
        return await route.handler(request)

    return handler
