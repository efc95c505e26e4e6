"""``mlxd doctor``: everything that can be wrong, looked at once."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlxd.cli import exits, target
from mlxd.cli.parser import DEFAULT_CONFIG, Commands
from mlxd.errors import ConfigError

if TYPE_CHECKING:
    from rich.text import Text

    from mlxd.cli.checks import Check
    from mlxd.cli.listener_checks import Daemon

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "bold red")}
_PLAIN_MARKS = {"ok": "ok", "warning": "!", "failed": "x"}  # where the terminal has ASCII only


def add_commands(commands: Commands) -> None:
    parser = commands.add("doctor", _doctor, "look for everything that could keep mlxd from working")
    target.add_options(parser)


def _doctor(args: argparse.Namespace) -> int:
    from mlxd.cli.checks import State
    from mlxd.terminal import console

    args.config = args.config or DEFAULT_CONFIG
    checks = list(_checks(args))
    failed = any(check.state is State.FAILED for check in checks)
    if args.json:
        target.print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        output = console.output()
        for line in _lines(checks, is_plain=output.options.ascii_only):
            output.print(line, soft_wrap=True)
    return exits.FAILED if failed else exits.OK


def _checks(args: argparse.Namespace) -> "Iterator[Check]":
    from mlxd.cli import checks
    from mlxd.cli.listener_checks import certificates, listeners
    from mlxd.config.loader import load_config

    yield from checks.machine()
    try:
        config = load_config(args.config).config
    except ConfigError as error:
        yield checks.Check("configuration", checks.State.FAILED, "\n".join(error.problems), "correct it; `mlxd validate` checks it again")
        return
    yield checks.ok("configuration", f"{args.config} is valid, {len(config.models)} model(s)")
    yield from checks.sources(config)
    yield from checks.adapters(config)
    yield checks.memory(config)
    daemon = _daemon(args)
    yield daemon.check
    yield from listeners(config, daemon)
    yield from certificates(config)


def _daemon(args: argparse.Namespace) -> "Daemon":
    from mlxd.cli.checks import Check, State
    from mlxd.cli.listener_checks import Daemon, find_daemon

    try:
        return find_daemon(target.reader(args))
    except ConfigError as error:  # the certificate by which the daemon would be known
        return Daemon(Check("daemon", State.WARNING, "it cannot be asked", "\n".join(error.problems)))


def _lines(checks: "Iterable[Check]", *, is_plain: bool) -> "Iterator[Text]":
    from rich.text import Text

    from mlxd.terminal.values import printable

    for check in checks:
        mark, style = _MARKS[check.state]
        found = printable(check.found).replace("\n", "\n  ")
        yield Text.assemble((_PLAIN_MARKS[check.state] if is_plain else mark, style), f" {check.name}: {found}")
        if check.hint:
            yield Text(f"  -> {printable(check.hint)}", style="dim")
