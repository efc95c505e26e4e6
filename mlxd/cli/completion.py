"""Completion for shells, made from the parser itself: ``mlxd completion bash``."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from mlxd.cli import exits
from mlxd.cli.parser import Commands

_SHELLS = ("bash", "zsh", "fish", "tcsh")


def add_commands(commands: Commands) -> None:
    parser = commands.add("completion", _completion, "print a script that completes mlxd's arguments in a shell")
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))


def _completion(args: argparse.Namespace) -> int:
    import shtab

    from mlxd.cli.program import build_parser

    parser = build_parser()
    parser.add_argument("--config", type=Path, metavar="FILE", help="serve this file")  # of the serve that need not be named
    for action in _actions(parser):
        if action.type is Path:
            vars(action)["complete"] = shtab.FILE  # an attribute that is shtab's, not argparse's
    print(shtab.complete(parser, args.shell))
    return exits.OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yields the actions of the parser and of its commands, which argparse shows in no other way."""
    for action in parser._actions:  # noqa: SLF001
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for below in action.choices.values():
                yield from _actions(below)
