"""A daemon's models and requests, live: top."""

import argparse
import sys

from mlxd.cli import exits, target
from mlxd.cli.exits import UsageError
from mlxd.cli.parser import Commands, seconds

_INTERVAL = 1.0


def add_commands(commands: Commands) -> None:
    parser = commands.add("top", _top, "watch models, requests, speed, latency, caches and memory; choose with keys")
    target.add_options(parser)
    parser.add_argument(
        "--interval",
        type=seconds(least=0.1, most=60.0),
        default=_INTERVAL,
        metavar="SECONDS",
        help=f"between two looks at the daemon; default: {_INTERVAL:g}",
    )


def _top(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.top.session import run_top

    output = console.output()
    if args.json or not sys.stdin.isatty() or not sys.stdout.isatty() or output.is_dumb_terminal:
        raise UsageError("top draws on a terminal; for programs, ask for status --json again and again")
    try:
        run_top(target.reader(args), output, sys.stdin.fileno(), args.interval)
    except KeyboardInterrupt:
        return exits.OK
    return exits.OK
