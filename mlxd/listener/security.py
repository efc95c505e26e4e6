"""Who may ask: the checks every request passes before its handler, on both listeners, in this order.

0. The request's framing and target are of one meaning only (``framing.py``).
1. No WebSocket upgrade, no ``Sec-Fetch-Mode: no-cors``: nothing here answers these, only attacks on local servers send them.
2. ``Host`` on an allow-list, against DNS rebinding (TCP only: no browser reaches a unix socket).
3. ``Origin``, where present, on its own list (``cors.py``); CORS preflights end here. An allowed one can read every refusal.
4. A body has a JSON content type (or TOML's, for configurations), which no HTML form can send, and a content coding that is understood.
5. A bearer token, where tokens are configured; where inference is asked for, ``x-api-key`` will do. Health checks need none: they say
   nothing about models or configuration.

The rules are asked for anew at each request, so that a reload takes effect on the next one.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from mlxd.config.address import Address, TcpAddress
from mlxd.config.principal import ANONYMOUS, API_KEYS, Principal
from mlxd.config.schema import AdminTable, MetricsTable, ServerTable
from mlxd.errors import ForbiddenError, UnauthorizedError, UnsupportedMediaTypeError
from mlxd.listener.cors import OriginGuard, preflight_response
from mlxd.listener.credentials import Credential, holder_of, shown_secrets
from mlxd.listener.encoding import check_encoding
from mlxd.listener.framing import check_framing

OPEN_PATHS = frozenset({"/health", "/livez", "/readyz"})
_JSON = frozenset({"application/json"})
_READING = ("GET", "HEAD")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


class Role(StrEnum):
    """What the request's token allows."""

    OPEN = "open"  # no tokens are configured, or the path needs none
    READ = "read"
    FULL = "full"


ROLE = web.RequestKey("mlxd.role", Role)
PRINCIPAL = web.RequestKey("mlxd.principal", Principal)  # who asks, as the inference listener knows them


@dataclass(frozen=True)
class Grant:
    """What the request's token allows, and whose it is."""

    role: Role
    holder: Principal


@dataclass(frozen=True, kw_only=True)
class SecurityRules:
    """The rules of one listener, which is open where it has no tokens at all (the configuration allows that on loopback and unix sockets
    only).
    """

    hosts: frozenset[str] = frozenset()  # beside loopback names and the address a connection came in by
    origins: tuple[str, ...] = ()
    tokens: tuple[str, ...] = field(default=(), repr=False)
    keys: tuple[Credential, ...] = ()  # as ``tokens``, of holders with names
    takes_api_key_header: bool = False
    read_tokens: tuple[str, ...] = field(default=(), repr=False)  # may GET and HEAD
    reading_calls: frozenset[tuple[str, str]] = frozenset()  # and make these, by method and path
    content_types: frozenset[str] = _JSON

    @property
    def is_open(self) -> bool:
        """Tells whether no token is asked for."""
        return not (self.tokens or self.keys or self.read_tokens)


def inference_rules(server: ServerTable) -> SecurityRules:
    """Returns the rules of ``[server]``, whose secrets are resolved already."""
    return SecurityRules(
        hosts=_hosts(server.listen, server.allowed_hosts),
        origins=server.cors_origins,
        tokens=server.api_keys,
        keys=tuple(Credential.of(table.key, Principal.of(table)) for table in server.keys),
        takes_api_key_header=True,
    )


class InferenceRules:
    """The rules of the ``[server]`` that runs, which are made once for each: a request need not digest every key."""

    def __init__(self, server: Callable[[], ServerTable]) -> None:
        self._server = server
        self._of = server()
        self._rules = inference_rules(self._of)

    def __call__(self) -> SecurityRules:
        """Returns the rules of the moment."""
        if (server := self._server()) is not self._of:
            self._of, self._rules = server, inference_rules(server)
        return self._rules


def admin_rules(
    admin: AdminTable, *, content_types: frozenset[str] = _JSON, reading_calls: frozenset[tuple[str, str]] = frozenset()
) -> SecurityRules:
    """Returns the rules of ``[admin]``, whose secrets are resolved already. No browser origin is ever allowed."""
    return SecurityRules(
        hosts=_hosts(admin.listen, admin.allowed_hosts),
        tokens=tuple(filter(None, [admin.token])),
        read_tokens=tuple(filter(None, [admin.read_token])),
        content_types=content_types,
        reading_calls=reading_calls,
    )


def metrics_rules(admin: AdminTable, metrics: MetricsTable) -> SecurityRules:
    """Returns the rules of ``[admin]`` for the listener of ``metrics.listen``."""
    return replace(admin_rules(admin), hosts=_hosts(metrics.listen or (), admin.allowed_hosts))


def security_middleware(rules: Callable[[], SecurityRules]) -> Middleware:
    """Returns a middleware that raises ``ForbiddenError``, ``UnsupportedMediaTypeError`` or ``UnauthorizedError``, or lets the request
    pass.
    """
    origins = OriginGuard()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        now = rules()
        origins.look(request, now.origins)
        check_framing(request)
        _refuse_upgrade(request)
        _check_host(request, now.hosts)
        origins.check(request)
        preflight = preflight_response(request)
        if preflight is not None:
            return preflight
        _check_content_type(request, now.content_types)
        check_encoding(request)
        granted = _check_token(request, now)
        request[ROLE], request[PRINCIPAL] = granted.role, granted.holder
        return await handler(request)

    return middleware


def _refuse_upgrade(request: web.Request) -> None:
    if "websocket" in request.headers.get("Upgrade", "").lower():
        raise ForbiddenError("there are no WebSockets here")
    if request.headers.get("Sec-Fetch-Mode", "").lower() == "no-cors":
        raise ForbiddenError('requests with "Sec-Fetch-Mode: no-cors" are refused')


def _check_host(request: web.Request, hosts: frozenset[str]) -> None:
    if request.transport is None:
        raise ConnectionResetError("the client is gone")
    local = request.transport.get_extra_info("sockname")
    if not isinstance(local, tuple):  # a unix socket's name is a path
        return
    sent = request.headers.getall("Host", [])
    if not sent and request.version < HttpVersion11:  # a load balancer's probe; every browser sends one
        return
    found = _HOST.fullmatch(sent[0]) if len(sent) == 1 else None
    if found is None:
        raise ForbiddenError("exactly one well-formed Host header is required")
    host = _normal(found[1] or found[2])
    if not (_is_loopback(host) or host in hosts or host == _normal(local[0])):
        raise ForbiddenError("this Host is not allowed (a guard against DNS rebinding); add it to allowed_hosts of this listener")


def _check_content_type(request: web.Request, allowed: frozenset[str]) -> None:
    if not request.body_exists:
        return
    wanted = " or ".join(sorted(allowed))
    if "Content-Type" not in request.headers:
        raise UnsupportedMediaTypeError(f'the body needs the header "Content-Type: {wanted}"')
    if request.content_type not in allowed:
        raise UnsupportedMediaTypeError(f'the body must be sent as "Content-Type: {wanted}", not {request.content_type}')
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaTypeError("the body must be UTF-8")


def _check_token(request: web.Request, rules: SecurityRules) -> Grant:
    if request.path in OPEN_PATHS and request.method in _READING:
        return Grant(Role.OPEN, ANONYMOUS)
    if rules.is_open:
        if not _is_from_here(request):
            raise ForbiddenError("without a token this answers its own machine only")
        return Grant(Role.OPEN, ANONYMOUS)
    shown = shown_secrets(request, api_key_header=rules.takes_api_key_header)
    full = holder_of(shown, [*rules.keys, *(Credential.of(token, API_KEYS) for token in rules.tokens)])
    read = holder_of(shown, [Credential.of(token, API_KEYS) for token in rules.read_tokens])
    if full is not None:
        return Grant(Role.FULL, full)
    if read is None:
        raise UnauthorizedError("the token is not valid")
    if request.method not in _READING and (request.method, request.path) not in rules.reading_calls:
        raise ForbiddenError("the token may read, and change nothing; use the full token")
    return Grant(Role.READ, read)


def _is_from_here(request: web.Request) -> bool:
    """Tells whether the request came over a unix socket or loopback. The configuration lets no other listener be open; but a connection may
    have outlived the listener it came in by, and the tokens of that time.
    """
    local = request.transport.get_extra_info("sockname") if request.transport else None
    return not isinstance(local, tuple) or _is_loopback(local[0])


def _hosts(listen: Iterable[Address], allowed: Iterable[str]) -> frozenset[str]:
    own = [address.host for address in listen if isinstance(address, TcpAddress)]
    return frozenset(_normal(host.strip("[]")) for host in [*own, *allowed])


def _normal(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
