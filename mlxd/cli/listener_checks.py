"""The part of ``mlxd doctor`` that is about addresses: does a daemon answer, can each listener be bound or is it the daemon's, and is its
certificate good.
"""

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlxd import __version__
from mlxd.cli.checks import Check, State, ok, writable
from mlxd.config.address import Address, UnixAddress
from mlxd.config.certificates import CertificateProblem, certificate_files, read_pair
from mlxd.config.schema import Config
from mlxd.control.planner import listen_addresses
from mlxd.errors import DaemonUnreachableError, ListenError, MlxdError
from mlxd.listener.binding import bind
from mlxd.listener.certificates import warnings_about
from mlxd.listener.tls import new_context
from mlxd.terminal.admin_client import AdminClient


@dataclass(frozen=True)
class Daemon:
    """What is known of the daemon that answers, with the addresses it listens on; nothing, if none does."""

    check: Check
    pid: int | None = None
    addresses: frozenset[str] = field(default_factory=frozenset)


def find_daemon(client: AdminClient) -> Daemon:
    """Asks whichever daemon answers for its status."""
    try:
        status = client.get("/admin/v1/status")
    except DaemonUnreachableError as error:
        return Daemon(Check("daemon", State.WARNING, "no daemon answers", error.message))
    except MlxdError as error:
        return Daemon(
            Check("daemon", State.FAILED, f"it refuses: {error.message}", "set admin.token, or MLXD_ADMIN_TOKEN, as the daemon has it")
        )
    return Daemon(_check_daemon(status), status["pid"], frozenset(one["address"] for one in status["listeners"]))


def _check_daemon(status: Mapping[str, Any]) -> Check:
    found = f"mlxd {status['version']} answers, pid {status['pid']}"
    if status["version"] != __version__:
        return Check("daemon", State.WARNING, found, f"this is mlxd {__version__}: restart the daemon, so that both are the same")
    if not status["config"]["last_reload_successful"]:
        return Check("daemon", State.FAILED, f"{found}; its last reload has failed", "`mlxd status` says why")
    return ok("daemon", found)


def listeners(config: Config, daemon: Daemon) -> Iterator[Check]:
    """Checks every address of the configuration."""
    for role, addresses in listen_addresses(config).items():
        for address in addresses:
            yield _listener(f"{role} listener", address, daemon)


def certificates(config: Config) -> Iterator[Check]:
    """Checks the pair of every listener that has one."""
    for role, files in certificate_files(config).items():
        name = f"{role} certificate"
        try:
            facts = read_pair(files)
            new_context(files)
        except CertificateProblem as problem:
            yield Check(
                name, State.FAILED, str(problem), f"correct it, or {files.table}; a running daemon serves the pair it has until then"
            )
            continue
        doubts = [text for _, text in warnings_about(facts, time.time())]
        found = f"{files.certificate} is for {', '.join(facts.names) or 'no host'}"
        yield Check(name, State.WARNING, f"{found}; {'; '.join(doubts)}", "renew it") if doubts else ok(name, found)


def _listener(name: str, address: Address, daemon: Daemon) -> Check:
    if str(address) in daemon.addresses:
        return ok(name, f"{address} is held by mlxd, pid {daemon.pid}")
    return _unix(name, address) if isinstance(address, UnixAddress) else _tcp(name, address)


def _tcp(name: str, address: Address) -> Check:
    try:
        bind(address).close()
    except ListenError as error:
        return Check(name, State.FAILED, error.message, "`lsof -i` shows who listens; or change the address")
    return ok(name, f"{address} is free")


def _unix(name: str, address: UnixAddress) -> Check:
    """Checks a unix socket without binding it, which would leave a lock file."""
    if address.path.exists() and not address.path.is_socket():
        return Check(name, State.FAILED, f"{address.path} exists and is no socket", "remove it, or change the address")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(str(address.path)) == 0:
            return Check(name, State.FAILED, f"another program listens on {address}", "stop it, or change the address")
    directory = writable(name, address.path.parent, "change its mode, or the address")
    return ok(name, f"{address} is free") if directory.state is State.OK else directory
