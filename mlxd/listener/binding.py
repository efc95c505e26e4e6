"""Sockets: an ``Address`` of the configuration, bound and ready to listen.

A unix socket is held by a lock file beside it (``PATH.lock``): the file of a socket outlives its process, so only the lock
tells a stale one, to be replaced, from one that a running daemon serves. The lock file itself stays; removing it would let
two daemons lock two different files of the same name.
"""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from mlxd.config.address import Address, TcpAddress, UnixAddress
from mlxd.errors import ListenError

BACKLOG = 512  # connections the system queues for us
SOCKET_MODE = 0o600  # of a unix socket: its owner only

_REASONS = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another address",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "permission denied; ports below 1024 need root, a socket's directory must be writable",
    errno.EPERM: "permission denied",
    errno.ENOENT: "its directory does not exist",
    errno.EROFS: "its file system is read-only",
}


@dataclass(frozen=True)
class Bound:
    """The listening sockets of one address; ``address`` has the real port. ``close`` takes everything back."""

    address: Address
    sockets: tuple[socket.socket, ...]
    lock: FileIO | None = None  # held as long as it is open; unix sockets only
    inode: int | None = None  # of the unix socket's file

    def close(self) -> None:
        """Closes the sockets, and removes a unix socket's file if it is still ours; may be called again."""
        _close_all(self.sockets)
        if isinstance(self.address, UnixAddress) and self.lock is not None and not self.lock.closed:
            _unlink_own(self.address.path, self.inode)
            self.lock.close()


def bind(address: Address, *, mode: int = SOCKET_MODE) -> Bound:
    """Binds the address and listens. ``mode`` is that of a unix socket's file. Raises ``ListenError`` naming the address."""
    try:
        return _bind_unix(address, mode) if isinstance(address, UnixAddress) else _bind_tcp(address)
    except socket.gaierror as error:
        raise ListenError(f"cannot listen on {address}: the host name cannot be resolved ({error.strerror})") from error
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise ListenError(f"cannot listen on {address}: {reason}") from error


def _bind_tcp(address: TcpAddress) -> Bound:
    """Binds every address that a name stands for (``localhost``: IPv4 and IPv6); those this machine lacks are left out."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    port, sockets, lacking = address.port, list[socket.socket](), OSError(errno.EADDRNOTAVAIL, "")
    try:
        for family, _, _, _, target in dict.fromkeys(found):
            try:
                sock = _listen(family, (target[0], port, *target[2:]))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                lacking = error
                continue
            sockets.append(sock)
            port = sock.getsockname()[1]
    except BaseException:
        _close_all(sockets)
        raise
    if not sockets:
        raise lacking
    return Bound(TcpAddress(address.host, port), tuple(sockets))


def _listen(family: int, target: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # restart without waiting for old connections to expire
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # "[::]" is no back door to IPv4
        sock.bind(target)
        sock.listen(BACKLOG)
        sock.settimeout(0)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(address: UnixAddress, mode: int) -> Bound:
    path = address.path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _take_lock(path)
    try:
        _remove_stale(path)
        sock = _listen_unix(path, mode)
    except BaseException:
        lock.close()
        raise
    return Bound(address, (sock,), lock, path.lstat().st_ino)


def _take_lock(path: Path) -> FileIO:
    lock = FileIO(os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ListenError(f"cannot listen on unix:{path}: another mlxd serves it; stop that one, or choose another path") from None
    except BaseException:
        lock.close()
        raise
    return lock


def _remove_stale(path: Path) -> None:
    """Removes a stale socket. We hold the lock: it is that of a daemon that died, unless another kind of program answers on it."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ListenError(f"cannot listen on unix:{path}: the file exists and is no socket; remove it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        if probe.connect_ex(str(path)) in (0, errno.EAGAIN, errno.EINPROGRESS):
            raise OSError(errno.EADDRINUSE, "")
    path.unlink()


def _listen_unix(path: Path, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o777 & ~mode)  # never, not even for a moment, open to others
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(mode)
        sock.listen(BACKLOG)
        sock.settimeout(0)
    except BaseException:
        sock.close()
        raise
    return sock


def _unlink_own(path: Path, inode: int | None) -> None:
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        return


def _close_all(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
