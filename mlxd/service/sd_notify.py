"""The protocol of sd_notify(3): one datagram of ``NAME=value`` lines to the socket that the environment names.

Our own, for it is this little: of the libraries, one is no longer kept up and the other needs systemd's headers to build.
"""

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

import structlog

_PATIENCE = 1.0  # seconds; systemd reads at once, unless it is in trouble itself

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class NotifySocket:
    """A service manager's socket. ``address`` is a path, or an abstract name that begins with a NUL. ``watchdog`` is the seconds between
    two signs of life before systemd ends the process; None where it wants none.
    """

    address: str
    watchdog: float | None = None

    def send(self, *lines: str) -> None:
        """Sends ``lines``. It never raises: that nobody listens is no reason not to serve."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:  # a new one each time: systemd may have restarted itself
                sock.settimeout(_PATIENCE)
                sock.connect(self.address)
                sock.send("\n".join(lines).encode())
        except OSError as error:
            _log.warning("service_manager_unreachable", reason=str(error))


def take_notify_socket(environ: MutableMapping[str, str]) -> NotifySocket | None:
    """Returns the socket that ``environ`` names, or None, and takes it out: processes that we start have nothing to say there."""
    address = environ.pop("NOTIFY_SOCKET", "")
    watchdog, meant_for = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not address:
        return None
    if address[0] not in "/@":
        _log.warning("service_manager_unreachable", reason=f"NOTIFY_SOCKET is {address}: neither a path nor an abstract name")
        return None
    is_ours = not meant_for or meant_for == str(os.getpid())
    seconds = int(watchdog) / 1e6 if is_ours and watchdog.isdecimal() else 0.0
    return NotifySocket(f"\0{address[1:]}" if address[0] == "@" else address, seconds or None)
