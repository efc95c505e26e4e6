"""TLS at the door: the context that a listener's connections begin with, and what is said to who speaks plain HTTP there."""

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from mlxd.config.certificates import CertificateFiles, CertificateProblem
from mlxd.errors import InvalidRequestError
from mlxd.listener.errors import openai_error_body

HANDSHAKE = 10.0  # seconds, up to the client's first byte, and from there to the end of the handshake
GOODBYE = 30.0  # seconds from the end of the last answer, in which a slow client reads what is left of it and says goodbye

_HANDSHAKE_RECORD = b"\x16"  # RFC 8446, 5.1
_LAST_BYTES = 1.0  # seconds


def new_context(files: CertificateFiles) -> ssl.SSLContext:
    """Returns a server's context: TLS 1.2 at least, and HTTP/1.1. Raises ``CertificateProblem``."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise CertificateProblem("certificate", f"the pair is refused by OpenSSL: {getattr(error, 'reason', None) or error}") from None
    except OSError as error:  # it was there a moment ago
        raise CertificateProblem("certificate", f"the pair cannot be read: {error.strerror}") from None
    return context


async def connect_tls(protocol: Callable[[], asyncio.Protocol], connected: socket.socket, context: ssl.SSLContext) -> None:
    """Shakes hands with a client, and connects ``protocol`` to it. One that speaks plain HTTP is told what is wrong. Raises ``OSError``
    where nothing comes of it; ``TimeoutError`` is one.
    """
    connected.settimeout(0)
    try:
        is_tls = await _begins_tls(connected)
        if not is_tls:
            await _refuse_plaintext(connected)
    except BaseException:
        connected.close()
        raise
    if not is_tls:
        connected.close()
        return
    loop, times = asyncio.get_running_loop(), {"ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": GOODBYE}
    await loop.connect_accepted_socket(protocol, connected, ssl=context, **times)


async def _begins_tls(connected: socket.socket) -> bool:
    """Waits for the client's first byte, which stays unread, and tells whether it begins a handshake."""
    async with asyncio.timeout(HANDSHAKE):
        await _readable(connected)
    first = connected.recv(1, socket.MSG_PEEK)
    if not first:
        raise ConnectionAbortedError("the client left without a word")
    return first == _HANDSHAKE_RECORD


async def _readable(connected: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connected, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connected)


async def _refuse_plaintext(connected: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_LAST_BYTES):
        await loop.sock_sendall(connected, _plaintext_answer())
    connected.shutdown(socket.SHUT_WR)
    with suppress(TimeoutError):  # to close with bytes unread is to reset the connection, and the client would never see why
        async with asyncio.timeout(_LAST_BYTES):
            while await loop.sock_recv(connected, 65536):
                pass


def _plaintext_answer() -> bytes:
    error = InvalidRequestError("this listener speaks TLS: use https:// in place of http://")
    body = json.dumps(openai_error_body(error)).encode()
    lines = ["HTTP/1.1 400 Bad Request", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def _no_password() -> str:
    raise ValueError("the key is encrypted")
