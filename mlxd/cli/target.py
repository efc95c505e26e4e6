"""Which daemon a command talks to, and with which token."""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlxd.cli.exits import UsageError
from mlxd.errors import ConfigError

if TYPE_CHECKING:
    import ssl

    from mlxd.config.address import Address
    from mlxd.config.schema import AdminTable
    from mlxd.terminal.admin_client import AdminClient

_HTTPS = "https://"
_DEFAULT = "unix:~/.mlxd/admin.sock"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of every command that talks to a daemon."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="take the admin address and token from this file")
    parser.add_argument(
        "--admin",
        metavar="ADDRESS",
        help=f'"HOST:PORT", "https://HOST:PORT" or "unix:/path"; default: that of --config, else {_DEFAULT} (token: of --config, else '
        "$MLXD_ADMIN_TOKEN)",
    )
    parser.add_argument("--json", action="store_true", help="print the admin API's answer as it is")


def reader(args: argparse.Namespace) -> "AdminClient":
    """Returns a client that may read."""
    return _client(args, lambda admin: admin.read_token or admin.token)


def operator(args: argparse.Namespace) -> "AdminClient":
    """Returns a client that may change things."""
    return _client(args, lambda admin: admin.token)


def print_json(document: Mapping[str, Any]) -> None:
    """Prints a document for programs."""
    print(json.dumps(document, indent=2))


def _client(args: argparse.Namespace, token_of: Callable[["AdminTable"], str]) -> "AdminClient":
    from mlxd.config.address import default_admin_address, parse_address
    from mlxd.config.loader import load_admin
    from mlxd.terminal.admin_client import AdminClient

    admin = load_admin(args.config) if args.config else None
    text = args.admin or ""
    try:
        named = parse_address(text.removeprefix(_HTTPS).removesuffix("/") if text.startswith(_HTTPS) else text) if text else None
    except ValueError as error:
        raise UsageError(f"--admin: {error}") from None
    try:
        address = named or (admin.listen[0] if admin else default_admin_address())
    except ValueError as error:
        raise UsageError(f"--admin or --config must name the daemon: {error}") from None
    token = token_of(admin) if admin else os.environ.get("MLXD_ADMIN_TOKEN", "")
    return AdminClient(address, token, _tls(text, address, admin))


def _tls(named: str, address: "Address", admin: "AdminTable | None") -> "ssl.SSLContext | None":
    """Returns how the daemon is known: by the certificate that the file names; by the system's, or ``$SSL_CERT_FILE``, for a URL."""
    import ssl

    from mlxd.config.address import UnixAddress
    from mlxd.config.certificates import CertificateProblem, own_certificate
    from mlxd.terminal.admin_client import pinned

    if isinstance(address, UnixAddress):
        return None
    if named.startswith(_HTTPS):
        return ssl.create_default_context()
    if admin is None or not admin.tls.certificate:
        return None
    try:
        return pinned(own_certificate(Path(admin.tls.certificate)))
    except (CertificateProblem, ssl.SSLError) as problem:
        raise ConfigError([f"admin.tls.certificate: {problem}"]) from None
