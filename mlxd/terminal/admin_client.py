"""How commands talk to a running daemon: one HTTP request to its admin listener, by the standard library alone."""

import http.client
import json
import socket
from typing import Any

from mlxd.config.address import Address, UnixAddress
from mlxd.errors import DaemonUnreachableError, MlxdError, UnauthorizedError, from_code

TIMEOUT = 10.0  # seconds without a byte; the daemon's event loop answers in milliseconds
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to connect, if it listens on all


def fetch_status(address: Address, token: str = "") -> dict[str, Any]:
    """``GET /admin/v1/status``. Raises as ``get`` does."""
    return get(address, "/admin/v1/status", token)


def get(address: Address, path: str, token: str = "", *, timeout: float = TIMEOUT) -> dict[str, Any]:
    """The JSON object at ``path``.

    Raises ``DaemonUnreachableError`` when no daemon answers, ``UnauthorizedError`` for a token that cannot be sent,
    and the typed error of an answer that is one.
    """
    connection = _connection(address, timeout)
    headers = {"Accept": "application/json"} | _authorization(token)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that DNS cannot even be asked for
        raise DaemonUnreachableError(_unreachable(address, error)) from error
    except http.client.HTTPException as error:
        raise _stranger(address) from error
    finally:
        connection.close()
    document = _json_object(body, address)
    if response.status >= http.HTTPStatus.BAD_REQUEST:
        raise _refusal(document, address)
    return document


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: UnixAddress, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = str(address.path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(address: Address, timeout: float) -> http.client.HTTPConnection:
    if isinstance(address, UnixAddress):
        return _UnixConnection(address, timeout)
    if address.port == 0:
        raise DaemonUnreachableError(
            "the configuration lets the system choose the admin port: name the real one, as the daemon's log has it"
        )
    return http.client.HTTPConnection(_EVERYWHERE.get(address.host, address.host), address.port, timeout=timeout)


def _authorization(token: str) -> dict[str, str]:
    if not token.isascii() or not token.isprintable():
        raise UnauthorizedError("the admin token has characters that no header can carry; check where it comes from")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _unreachable(address: Address, error: OSError | UnicodeError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer from {address} in time: the daemon hangs or the machine is very busy"
    if isinstance(error, PermissionError):
        return f"no permission to use {address}: run this as the user the daemon runs as"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return f"no daemon listens on {address}: start it with `mlxd --config FILE`, or name its admin address"
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"cannot talk to {address}: there is no such host; check the name"
    return f"cannot talk to {address}: {error.strerror or type(error).__name__}"


def _json_object(body: bytes, address: Address) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise _stranger(address) from error
    if not isinstance(document, dict):
        raise _stranger(address)
    return document


def _refusal(document: dict[str, Any], address: Address) -> MlxdError:
    error = document.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return _stranger(address)
    return from_code(str(error.get("code")), error["message"], param=error.get("param"))


def _stranger(address: Address) -> DaemonUnreachableError:
    return DaemonUnreachableError(f"what answers on {address} is not mlxd's admin listener: check the address")
