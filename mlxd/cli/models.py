"""What an operator asks of one model: load, unload, drain, restart, evict, cancel."""

import argparse
from typing import Any

from mlxd.cli import exits, target
from mlxd.cli.parser import Commands

_SUMMARIES = {
    "load": "load a model, and keep it loaded; one that has failed is tried again",
    "unload": "end a model's worker, once its requests are done; the next request loads it again",
    "drain": "take a model out of service: as unload, but requests are refused until it is loaded again",
    "restart": "give a model a new worker; the old one serves until then, where memory allows both",
}
_DONE = {
    "load_adapter": "is loaded",
    "unload_adapter": "is unloaded; the next request that names it loads it again",
    "load": "is loaded",
    "unload": "is unloaded; the next request loads it again",
    "drain": "is out of service until `mlxd load`",
    "restart": "has a new worker",
}


def add_commands(commands: Commands) -> None:
    for verb, summary in _SUMMARIES.items():
        parser = commands.add(verb, _operate, summary)
        parser.set_defaults(verb=verb)
        target.add_options(parser)
        parser.add_argument("model", metavar="MODEL", help="its name or an alias")
        if verb in ("load", "unload"):
            parser.add_argument("--adapter", metavar="NAME", help=f"{verb} this adapter of the model instead, by its own name")
        parser.add_argument("--no-wait", dest="wait", action="store_false", help="return when it has begun, not when it is done")

    parser = commands.add("evict", _evict, "drop what prefix caches keep for later requests; running requests keep theirs")
    target.add_options(parser)
    parser.add_argument("model", nargs="?", metavar="MODEL", help="its name or an alias; default: every model that is ready")

    parser = commands.add("cancel", _cancel, "end one request; its client gets the error request_cancelled")
    target.add_options(parser)
    parser.add_argument("model", metavar="MODEL", help="its name or an alias")
    parser.add_argument("request", metavar="REQUEST", help="as `mlxd requests MODEL` shows it")


def _operate(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.admin_client import model_path
    from mlxd.terminal.load_progress import shown_progress

    adapter = getattr(args, "adapter", None)
    client, path = target.operator(args), model_path(args.model, *(("adapters", adapter) if adapter else ()), args.verb)
    if args.wait:
        with shown_progress(client, console.errors(), only=args.model):
            operation = client.post(f"{path}?wait=1", timeout=None)
    else:
        operation = client.post(path)
    if args.json:
        target.print_json(operation)
    else:
        print(_describe(operation))
    return exits.OK


def _describe(operation: dict[str, Any]) -> str:
    from mlxd.terminal.values import printable, time_of

    kind, adapter = printable(operation["kind"]), operation["adapter"]
    model = printable(f"{operation['model']}:{adapter}" if adapter else operation["model"])
    if operation["finished"] is None:
        return f"{model}: {kind} has begun, as operation {printable(operation['id'])}; `mlxd status` shows how far it is"
    seconds = (time_of(operation["finished"]) - time_of(operation["started"])).total_seconds()
    return f"{model} {_DONE.get(kind, kind)} ({seconds:.1f} s)"


def _evict(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.admin_client import model_path
    from mlxd.terminal.tables import render_evictions

    client = target.operator(args)
    answer = client.post(model_path(args.model, "evict") if args.model else "/admin/v1/evict")
    if args.json:
        target.print_json(answer)
    else:
        console.output().print(render_evictions([answer] if args.model else answer["evicted"]))
    return exits.OK


def _cancel(args: argparse.Namespace) -> int:
    from mlxd.terminal.admin_client import model_path
    from mlxd.terminal.values import printable

    answer = target.operator(args).delete(model_path(args.model, "requests", args.request))
    if args.json:
        target.print_json(answer)
    else:
        print(f"{printable(answer['model'])}: {printable(answer['id'])} is cancelled")
    return exits.OK
