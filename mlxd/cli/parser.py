"""The parser of arguments: one command after another is added to it, each with the function that runs it."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from mlxd import __version__
from mlxd.cli import exits

DEFAULT_CONFIG = Path("mlxd.toml")

Run = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser that ends with the exit code for usage."""

    def error(self, message: str) -> NoReturn:
        """Prints a line on standard error, after the usage, and exits."""
        self.print_usage(sys.stderr)
        self.exit(exits.USAGE, f"{self.prog}: {message}\n")


class Commands:
    """The program's parser, to which commands are added one by one."""

    def __init__(self) -> None:
        self.parser = Parser(
            prog="mlxd",
            description="The inference daemon for Apple's MLX.",
            epilog="mlxd --config FILE is short for mlxd serve --config FILE.",
        )
        self.parser.add_argument("--version", action="version", version=f"mlxd {__version__}")
        self._added = self.parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def add(self, name: str, run: Run, summary: str) -> Parser:
        """Adds a command whose exit code is what ``run`` returns."""
        parser = self._added.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        parser.set_defaults(run=run)
        return parser


def seconds(*, least: float, most: float) -> Callable[[str], float]:
    """Returns a type of arguments: a number of seconds between these two."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a number of seconds from {least:g} to {most:g}")
        return value

    return parse
