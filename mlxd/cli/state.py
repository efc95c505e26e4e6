"""What a running daemon does, for whom, and how loudly it says so: status, memory, requests, keys, log-level."""

import argparse
import sys

from mlxd.cli import exits, target
from mlxd.cli.exits import UsageError
from mlxd.cli.parser import Commands, seconds

_INTERVAL = 2.0  # seconds


def add_commands(commands: Commands) -> None:
    parser = commands.add("status", _status, "show what a running daemon is doing")
    target.add_options(parser)
    parser.add_argument("model", metavar="MODEL", nargs="?", help="only this one, and where what is known of it was read")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=seconds(least=0.1, most=86400.0),
        const=_INTERVAL,
        metavar="SECONDS",
        help=f"show it again and again, until Ctrl-C; default: every {_INTERVAL:g}",
    )

    parser = commands.add("memory", _memory, "show who has reserved and who uses how much memory")
    target.add_options(parser)

    parser = commands.add("requests", _requests, "show the requests a model has now")
    target.add_options(parser)
    parser.add_argument("model", metavar="MODEL", help="its name or an alias")

    parser = commands.add("keys", _keys, "show who uses how much, by the names of keys")
    target.add_options(parser)

    parser = commands.add("log-level", _log_level, "log more or less, until the next reload")
    target.add_options(parser)
    parser.add_argument("level", choices=("debug", "info", "warning", "error"), metavar="LEVEL", help="debug, info, warning or error")


def _status(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.status_table import render_status

    if args.model is not None:
        return _model(args)
    if args.watch is not None:
        return _watch(args)
    status = target.reader(args).get("/admin/v1/status")
    if args.json:
        target.print_json(status)
    else:
        console.output().print(render_status(status))
    return exits.OK


def _model(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.admin_client import model_path
    from mlxd.terminal.model_facts import render_model

    if args.watch is not None:
        raise UsageError("status --watch draws all models: leave MODEL out")
    model = target.reader(args).get(model_path(args.model))
    if args.json:
        target.print_json(model)
    else:
        console.output().print(render_model(model))
    return exits.OK


def _watch(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.watch import watch_status

    if args.json or not sys.stdout.isatty():
        raise UsageError("status --watch draws on a terminal; for programs, ask for status --json again and again")
    client = target.reader(args)
    try:
        watch_status(lambda: client.get("/admin/v1/status"), console.output(), args.watch)
    except KeyboardInterrupt:
        return exits.OK
    return exits.OK


def _memory(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.memory_table import render_memory

    memory = target.reader(args).get("/admin/v1/memory")
    if args.json:
        target.print_json(memory)
    else:
        console.output().print(render_memory(memory))
    return exits.OK


def _requests(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.admin_client import model_path
    from mlxd.terminal.tables import render_requests

    answer = target.reader(args).get(model_path(args.model, "requests"))
    if args.json:
        target.print_json(answer)
    else:
        console.output().print(render_requests(answer))
    return exits.OK


def _keys(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.keys_table import render_keys

    answer = target.reader(args).get("/admin/v1/keys")
    if args.json:
        target.print_json(answer)
    else:
        console.output().print(render_keys(answer["keys"]))
    return exits.OK


def _log_level(args: argparse.Namespace) -> int:
    from mlxd.terminal.admin_client import Body
    from mlxd.terminal.values import printable

    answer = target.operator(args).put("/admin/v1/log-level", Body.json({"level": args.level}))
    if args.json:
        target.print_json(answer)
    else:
        print(f"logs from {printable(answer['level'])} on, until the next reload")
    return exits.OK
