"""How commands talk to a running daemon: HTTP requests to its admin listener, by the standard library alone."""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

from mlxd.config.address import Address, UnixAddress
from mlxd.errors import DaemonUnreachableError, MlxdError, UnauthorizedError, from_code

TIMEOUT = 10.0  # seconds without a byte; the daemon's event loop answers in milliseconds
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to connect, if it listens on all


def model_path(model: str, *below: str) -> str:
    """Returns ``/admin/v1/models/{id}/...``. An id may have slashes."""
    return "/".join(["/admin/v1/models", quote(model, safe="/:"), *(quote(part, safe="") for part in below)])


@dataclass(frozen=True)
class Body:
    """What a request sends along, and its content type."""

    content: bytes
    content_type: str

    @classmethod
    def json(cls, document: Mapping[str, Any]) -> Self:
        return cls(json.dumps(document).encode(), "application/json")

    @classmethod
    def toml(cls, text: str) -> Self:
        return cls(text.encode(), "application/toml")


@dataclass(frozen=True)
class Answer:
    """An answer is a JSON object, good or bad, with its HTTP status."""

    status: int
    document: dict[str, Any]

    @property
    def is_error(self) -> bool:
        return self.status >= HTTPStatus.BAD_REQUEST


@dataclass(frozen=True)
class AdminClient:
    """A client of one daemon. Each request has its own connection: commands are short-lived, and several threads may use a client at once.

    Every method raises ``DaemonUnreachableError`` when no daemon answers and ``UnauthorizedError`` for a token that cannot be sent; all but
    ``send`` raise the typed error of an answer that is one. ``timeout`` is the longest silence in seconds; None waits for ever.
    """

    address: Address
    token: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None  # None: plain HTTP

    def get(self, path: str, *, timeout: float | None = TIMEOUT) -> dict[str, Any]:
        return self._good(self.send("GET", path, timeout=timeout))

    def post(self, path: str, body: Body | None = None, *, timeout: float | None = TIMEOUT) -> dict[str, Any]:
        return self._good(self.send("POST", path, body, timeout=timeout))

    def put(self, path: str, body: Body, *, timeout: float | None = TIMEOUT) -> dict[str, Any]:
        return self._good(self.send("PUT", path, body, timeout=timeout))

    def delete(self, path: str, *, timeout: float | None = TIMEOUT) -> dict[str, Any]:
        return self._good(self.send("DELETE", path, timeout=timeout))

    def send(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT,
    ) -> Answer:
        """Returns the answer, whatever its status."""
        connection = _connection(self.address, self.tls, timeout)
        sent = {"Accept": "application/json"} | _authorization(self.token) | dict(headers or {})
        if body is not None:
            sent["Content-Type"] = body.content_type
        try:
            connection.request(method, path, body=None if body is None else body.content, headers=sent)
            response = connection.getresponse()
            content = response.read()
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that DNS cannot even be asked for
            raise DaemonUnreachableError(_unreachable(self.address, error)) from error
        except http.client.HTTPException as error:
            raise _stranger(self.address) from error
        finally:
            connection.close()
        return Answer(response.status, _json_object(content, self.address))

    def refusal(self, answer: Answer) -> MlxdError:
        """Returns the typed error that an answer stands for."""
        error = answer.document.get("error")
        if not isinstance(error, dict) or not isinstance(error.get("message"), str):
            return _stranger(self.address)
        return from_code(str(error.get("code")), error["message"], param=error.get("param"))

    def _good(self, answer: Answer) -> dict[str, Any]:
        if answer.is_error:
            raise self.refusal(answer)
        return answer.document


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: UnixAddress, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = str(address.path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def pinned(certificate: str) -> ssl.SSLContext:
    """Returns a context that trusts this one certificate, in PEM, whatever host it is for and whoever signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _connection(address: Address, tls: ssl.SSLContext | None, timeout: float | None) -> http.client.HTTPConnection:
    if isinstance(address, UnixAddress):
        return _UnixConnection(address, timeout)
    if address.port == 0:
        raise DaemonUnreachableError(
            "the configuration lets the system choose the admin port: name the real one, as the daemon's log has it"
        )
    host = _EVERYWHERE.get(address.host, address.host)
    if tls is not None:
        return http.client.HTTPSConnection(host, address.port, timeout=timeout, context=tls)
    return http.client.HTTPConnection(host, address.port, timeout=timeout)


def _authorization(token: str) -> dict[str, str]:
    if not token.isascii() or not token.isprintable():
        raise UnauthorizedError("the admin token has characters that no header can carry; check where it comes from")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _unreachable(address: Address, error: OSError | UnicodeError) -> str:
    match error:
        case ssl.SSLError():
            text = _no_tls(address, error)
        case TimeoutError():
            text = f"no answer from {address} in time: the daemon hangs or the machine is very busy"
        case PermissionError():
            text = f"no permission to use {address}: run this as the user the daemon runs as"
        case FileNotFoundError() | ConnectionRefusedError():
            text = f"no daemon listens on {address}: start it with `mlxd --config FILE`, or name its admin address"
        case ConnectionError():
            text = f"the connection to {address} ended before an answer: the daemon has stopped, or it is not mlxd that listens there"
        case socket.gaierror() | UnicodeError():
            text = f"cannot talk to {address}: there is no such host; check the name"
        case _:
            text = f"cannot talk to {address}: {error.strerror or type(error).__name__}"
    return text


def _no_tls(address: Address, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the certificate of {address} is not trusted ({error.verify_message})"
        return f"{why}: with --config it must be the one that admin.tls names, as its file is now"
    return f"no TLS on {address}: plain HTTP answers there, or another program"


def _json_object(body: bytes, address: Address) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise _stranger(address) from error
    if not isinstance(document, dict):
        raise _stranger(address)
    return document


def _stranger(address: Address) -> DaemonUnreachableError:
    return DaemonUnreachableError(f"what answers on {address} is not mlxd's admin listener: check the address")
