"""What is kept on disk of caches: ``mlxd cache`` shows it and removes it, by the daemon or, where none runs, by itself."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlxd.cli import exits, target
from mlxd.cli.exits import UsageError
from mlxd.cli.parser import DEFAULT_CONFIG, Commands
from mlxd.errors import DaemonUnreachableError, ModelNotFoundError

if TYPE_CHECKING:
    from mlxd.config.schema import Config

_PATH = "/admin/v1/cache"
_PATIENCE = 60.0  # seconds; a disk may be slow, and the daemon says so then

_Answer = dict[str, Any]


def add_commands(commands: Commands) -> None:
    parser = commands.add("cache", _cache, "show what is kept on disk of prefix caches, or remove it")
    target.add_options(parser)
    parser.add_argument(
        "action", nargs="?", choices=("show", "prune"), default="show", metavar="ACTION", help="show (the default) or prune"
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="of prune: its name or an alias")
    parser.add_argument("--all", action="store_true", help="of prune: of all models")
    parser.add_argument(
        "--path",
        type=Path,
        metavar="DIR",
        help="look at this directory itself, whether a daemon runs or not; default: those of the daemon's models, and where no daemon "
        f"answers those that the file of --config ({DEFAULT_CONFIG}) names",
    )


def _cache(args: argparse.Namespace) -> int:
    return _show(args) if args.action == "show" else _prune(args)


def _show(args: argparse.Namespace) -> int:
    from mlxd.terminal.disk_table import render_directories

    if args.model is not None or args.all:
        raise UsageError("cache show shows all of it: MODEL and --all belong to cache prune")
    directories = _answer(args, lambda: target.reader(args).get(_PATH, timeout=_PATIENCE), _looked_at)
    return _told(args, directories, "directories", render_directories)


def _prune(args: argparse.Namespace) -> int:
    from mlxd.terminal.admin_client import model_path
    from mlxd.terminal.disk_table import render_removals

    if (args.model is None) is not args.all:
        raise UsageError("cache prune needs the name of a MODEL, or --all")
    path = model_path(args.model, "cache") if args.model else _PATH
    removed = _answer(args, lambda: target.operator(args).delete(path, timeout=_PATIENCE), _removed)
    return _told(args, removed, "removed", render_removals)


def _told(args: argparse.Namespace, answer: _Answer, part: str, render: Callable[[list[_Answer]], Any]) -> int:
    """Prints an answer, whose directories are in ``part`` of it, and returns the exit code."""
    from mlxd.terminal import console

    directories = answer[part]
    if args.json:
        target.print_json(answer)
    else:
        console.output().print(render(directories), soft_wrap=True)
    return exits.FAILED if any(one["problem"] for one in directories) else exits.OK


def _answer(args: argparse.Namespace, ask: Callable[[], _Answer], do: Callable[[argparse.Namespace, "Config | None"], _Answer]) -> _Answer:
    """Returns the daemon's answer; where a directory is named, or no daemon answers, that of the directories themselves."""
    from mlxd.config.loader import load_config

    if args.path is not None:
        return do(args, None)
    try:
        return ask()
    except DaemonUnreachableError:
        file = args.config or DEFAULT_CONFIG
        if args.config is None and (args.admin or not file.exists()):
            raise
        config = load_config(file).config
        print(f"mlxd: no daemon answers: what follows is of the directories that {file} names", file=sys.stderr)
        return do(args, config)


def _looked_at(args: argparse.Namespace, config: "Config | None") -> _Answer:
    import msgspec

    from mlxd.admin import answers
    from mlxd.admin.disk import describe
    from mlxd.disk_cache.survey import survey

    found = [describe(survey(path), limit) for path, limit in _directories(args, config).items()]
    answer: _Answer = msgspec.to_builtins(answers.DiskDirectoryList(directories=found))
    return answer


def _removed(args: argparse.Namespace, config: "Config | None") -> _Answer:
    import msgspec

    from mlxd.admin import answers
    from mlxd.admin.disk import describe_removal
    from mlxd.disk_cache.survey import remove

    model = args.model if args.model is None or config is None else _identified(args.model, config)
    removed = [describe_removal(remove(path, model)) for path in _directories(args, config)]
    answer: _Answer = msgspec.to_builtins(answers.DiskRemovalList(removed=removed))
    return answer


def _directories(args: argparse.Namespace, config: "Config | None") -> dict[str, int | None]:
    """Returns the directories, each with its limit where that is known."""
    from mlxd.control.model.load_spec import limits

    if config is None:
        return {os.path.normpath(args.path.absolute()): None}
    disks = [disk for model in config.models.values() if (disk := limits(model).disk)]
    return {os.path.normpath(disk.path): disk.limit for disk in disks}


def _identified(name: str, config: "Config") -> str:
    found = next((model for model, table in config.models.items() if name == model or name in table.aliases), None)
    if found is None:
        raise ModelNotFoundError(f"there is no model {name!r} in the configuration; with --path DIR the name need not be configured")
    return found
