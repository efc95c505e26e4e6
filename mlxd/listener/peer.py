"""Who is at the other end of a connection, and what it has taken, as the system knows it."""

import fcntl
import socket
import struct
import sys
import termios

from aiohttp import web

_XUCRED = "IIhxx16I"  # macOS: version, uid, number of groups, groups
_LOCAL_PEERCRED = 1  # sys/un.h; Python has no name for it
_SOL_LOCAL = 0
_SO_NWRITE = 0x1024  # sys/socket.h of macOS


def peer_of(request: web.BaseRequest) -> str:
    """Returns ``127.0.0.1`` over TCP, ``uid 501`` over a unix socket; ``unknown`` where the system does not say, or the client is gone."""
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


def unsent_bytes(sock: socket.socket) -> int:
    """Returns how many bytes were written to the socket that its other end has not taken; 0 where the system does not say."""
    try:
        if sys.platform == "darwin":
            return sock.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
        (size,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0)))
    except OSError:
        return 0
    return int(size)


def _peer_uid(sock: socket.socket) -> int:
    if sys.platform == "darwin":
        uid: int = struct.unpack(_XUCRED, sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, struct.calcsize(_XUCRED)))[1]
        return uid
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    found: int = struct.unpack("3i", credentials)[1]  # pid, uid, gid
    return found
