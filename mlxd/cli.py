"""The command line. ``mlxd --config mlxd.toml`` serves; every other verb is short-lived.

Exit codes: 0; 64 usage; 69 daemon unreachable or address taken; 70 internal; 78 configuration.
Each command imports what it needs when it runs, so that all start quickly.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mlxd import __version__
from mlxd.errors import ConfigError, DaemonUnreachableError, ListenError, MlxdError

if TYPE_CHECKING:
    from mlxd.config.address import Address

EX_OK, EX_FAILED, EX_USAGE, EX_UNAVAILABLE, EX_SOFTWARE, EX_CONFIG = 0, 1, 64, 69, 70, 78
DEFAULT_CONFIG = Path("mlxd.toml")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    args = _parser().parse_args(arguments if _names_command(arguments) else ["serve", *arguments])
    try:
        return int(args.run(args))
    except ConfigError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return EX_CONFIG
    except (ListenError, DaemonUnreachableError) as error:
        print(f"mlxd: {error.message}", file=sys.stderr)
        return EX_UNAVAILABLE
    except MlxdError as error:
        print(f"mlxd: {error.message}", file=sys.stderr)
        return EX_FAILED
    except BrokenPipeError:  # the reader of our output is satisfied
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_OK
    except KeyboardInterrupt:
        return 130


def _names_command(arguments: Sequence[str]) -> bool:
    """Options alone mean ``serve``; ``-h`` and ``--version`` belong to the program."""
    first = arguments[0] if arguments else ""
    return (not first.startswith("-") and bool(first)) or first in {"-h", "--help", "--version"}


def _parser() -> _Parser:
    parser = _Parser(
        prog="mlxd", description="The inference daemon for Apple's MLX.", epilog="mlxd --config FILE is short for mlxd serve --config FILE."
    )
    parser.add_argument("--version", action="version", version=f"mlxd {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    serve = commands.add_parser("serve", help="serve the models of a configuration file (the default)")
    serve.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: mlxd.toml")
    serve.add_argument(
        "--wait-for-valid-config", action="store_true", help="with a bad file, wait until it is good instead of exiting with 78; for launchd"
    )
    serve.set_defaults(run=_serve)

    validate = commands.add_parser("validate", help="check a configuration file and say everything that is wrong with it")
    validate.add_argument("config", nargs="?", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: mlxd.toml")
    validate.set_defaults(run=_validate)

    schema = commands.add_parser("schema", help="print the JSON Schema of the configuration file, for editors")
    schema.set_defaults(run=_schema)

    status = commands.add_parser("status", help="show what a running daemon is doing")
    status.add_argument("--config", type=Path, metavar="FILE", help="take the admin address and token from this file")
    status.add_argument(
        "--admin", metavar="ADDRESS", help='"HOST:PORT" or "unix:/path"; default: unix:~/.mlxd/admin.sock (token: $MLXD_ADMIN_TOKEN)'
    )
    status.add_argument("--json", action="store_true", help="print the admin API's answer as it is")
    status.set_defaults(run=_status)

    pull = commands.add_parser("pull", help="fetch a model, so that loading it needs no network")
    pull.add_argument("source", metavar="MODEL", help='"builtin:smollm2-135m", "org/name[@revision]" or a path')
    pull.set_defaults(run=_pull)
    return parser


def _serve(args: argparse.Namespace) -> int:
    from mlxd.config.loader import load_config
    from mlxd.daemon import serve
    from mlxd.service.wait_for_config import wait_for_valid_config

    loaded = wait_for_valid_config(args.config) if args.wait_for_valid_config else load_config(args.config)
    return serve(loaded) if loaded is not None else EX_OK


def _validate(args: argparse.Namespace) -> int:
    from mlxd.config.loader import load_config

    loaded = load_config(args.config)
    print(f"{args.config}: valid, {len(loaded.config.models)} model(s): {', '.join(loaded.config.models)}")
    return EX_OK


def _schema(_: argparse.Namespace) -> int:
    from mlxd.config.json_schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return EX_OK


def _status(args: argparse.Namespace) -> int:
    from rich.console import Console

    from mlxd.terminal.admin_client import fetch_status
    from mlxd.terminal.status_table import render_status

    answer = fetch_status(*_admin(args))
    if args.json:
        print(json.dumps(answer, indent=2))
    else:
        Console().print(render_status(answer))
    return EX_OK


def _admin(args: argparse.Namespace) -> "tuple[Address, str]":
    """The admin listener's address and a token for it."""
    from mlxd.config.address import parse_address
    from mlxd.config.loader import load_config

    if args.admin:
        try:
            return parse_address(args.admin), os.environ.get("MLXD_ADMIN_TOKEN", "")
        except ValueError as error:
            print(f"mlxd status: --admin: {error}", file=sys.stderr)
            sys.exit(EX_USAGE)
    if args.config:
        admin = load_config(args.config).config.admin
        return admin.listen[0], admin.read_token or admin.token
    return parse_address("unix:~/.mlxd/admin.sock"), os.environ.get("MLXD_ADMIN_TOKEN", "")


def _pull(args: argparse.Namespace) -> int:
    from rich.console import Console

    from mlxd.terminal.pull import pull

    console = Console(stderr=True)
    path = pull(args.source, console)
    console.print(f"{args.source} is ready in {path}", highlight=False, soft_wrap=True)
    return EX_OK
