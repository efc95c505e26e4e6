"""Who is at the other end of a connection, as the system knows it."""

import socket
import struct
import sys

from aiohttp import web

_XUCRED = "IIhxx16I"  # macOS: version, uid, number of groups, groups
_LOCAL_PEERCRED = 1  # sys/un.h; Python has no name for it
_SOL_LOCAL = 0


def peer_of(request: web.BaseRequest) -> str:
    """``127.0.0.1`` over TCP, ``uid 501`` over a unix socket; ``unknown`` where the system does not say, or the client is gone."""
    if request.transport is None:
        return "unknown"
    address = request.transport.get_extra_info("peername")
    if isinstance(address, tuple):
        return str(address[0])
    sock = request.transport.get_extra_info("socket")
    try:
        uid = _peer_uid(sock)
    except (OSError, AttributeError, struct.error):
        return "unknown"
    return f"uid {uid}"


def _peer_uid(sock: socket.socket) -> int:
    if sys.platform == "darwin":
        uid: int = struct.unpack(_XUCRED, sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, struct.calcsize(_XUCRED)))[1]
        return uid
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    found: int = struct.unpack("3i", credentials)[1]  # pid, uid, gid
    return found
