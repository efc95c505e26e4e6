"""What another configuration would change, and taking it over: diff, reload."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlxd.cli import exits, target
from mlxd.cli.exits import UsageError
from mlxd.cli.parser import Commands
from mlxd.errors import MlxdError

if TYPE_CHECKING:
    from mlxd.terminal.admin_client import AdminClient, Answer

_DRY_RUN = "/admin/v1/reload?dry_run=1"
_GOOD = frozenset({"applied", "unchanged", "planned"})


def add_commands(commands: Commands) -> None:
    parser = commands.add("diff", _diff, "show what a reload would do, without doing it")
    target.add_options(parser)
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="NEW: what to compare with what runs; default: the file of --config, else the daemon's own. "
        "OLD NEW: two files, without asking a daemon",
    )

    parser = commands.add("reload", _reload, "let the daemon take over its configuration file as it is now, and wait until it has")
    target.add_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="only show what that would do")
    parser.add_argument(
        "--if-match",
        type=_sha256,
        metavar="SHA256",
        help="only if the running configuration is this one; `mlxd status --json` shows it in full",
    )


def _diff(args: argparse.Namespace) -> int:
    if len(args.files) > 2:
        raise UsageError("diff compares two files at most")
    outcome = _compare_files(*args.files) if len(args.files) == 2 else _compare_with_running(args)
    return _finish_comparison(outcome, args)


def _compare_with_running(args: argparse.Namespace) -> dict[str, Any]:
    from mlxd.config.document import read_text
    from mlxd.terminal.admin_client import Body

    client = target.reader(args)
    new = args.files[0] if args.files else args.config
    if new is None:
        return _outcome(client, client.send("POST", _DRY_RUN))
    return _outcome(client, client.send("POST", "/admin/v1/config/diff", Body.toml(read_text(new))))


def _compare_files(old: Path, new: Path) -> dict[str, Any]:
    """Compares two files as the daemon would, if it had all the memory it could need. Raises ``ConfigError``."""
    import sys

    import msgspec

    from mlxd.admin.config import describe_outcome
    from mlxd.config.loader import load_config
    from mlxd.control.planner import Room
    from mlxd.control.reload import compare

    outcome = compare(load_config(old), load_config(new), Room(sys.maxsize, {}))
    return dict(msgspec.to_builtins(describe_outcome(outcome)))


def _reload(args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.load_progress import shown_progress
    from mlxd.terminal.outcome import render_reload

    client, headers = target.operator(args), _if_match(args)
    if args.dry_run:
        return _finish_comparison(_outcome(client, client.send("POST", _DRY_RUN, headers=headers)), args)
    with shown_progress(client, console.errors()):
        outcome = _outcome(client, client.send("POST", "/admin/v1/reload", headers=headers, timeout=None))
    if not args.json:
        console.output().print(render_reload(outcome))
    code = _finish(outcome, args)
    return exits.FAILED if _tell_refused_certificates(client) and code == exits.OK else code


def _tell_refused_certificates(client: "AdminClient") -> bool:
    """Says which listeners serve another certificate than their files hold, for those are no good; tells whether there are any."""
    from mlxd.terminal import console
    from mlxd.terminal.values import printable

    try:
        shown = [one["certificate"] for one in client.get("/admin/v1/status")["listeners"]]
    except MlxdError:  # the reload may have moved the admin listener, or exchanged its token
        return False
    problems = dict.fromkeys(certificate["problem"] for certificate in shown if certificate and certificate["problem"])
    for problem in problems:
        console.errors().print(printable(f"{problem}; the certificate before is served"), style="red")
    return bool(problems)


def _sha256(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError("must be the SHA-256 of a file, in 64 hexadecimal digits")
    return text


def _if_match(args: argparse.Namespace) -> dict[str, str]:
    return {"If-Match": f'"{args.if_match}"'} if args.if_match else {}


def _outcome(client: "AdminClient", answer: "Answer") -> dict[str, Any]:
    """Describes a reload that came to nothing as one that did, and raises any other error."""
    if answer.is_error and "result" not in answer.document:
        raise client.refusal(answer)
    return answer.document


def _finish_comparison(outcome: dict[str, Any], args: argparse.Namespace) -> int:
    from mlxd.terminal import console
    from mlxd.terminal.outcome import render_comparison

    if not args.json:
        console.output().print(render_comparison(outcome))
    return _finish(outcome, args)


def _finish(outcome: dict[str, Any], args: argparse.Namespace) -> int:
    """Prints the problems and returns the exit code."""
    from mlxd.terminal import console
    from mlxd.terminal.values import printable

    if args.json:
        target.print_json(outcome)
    else:
        for problem in outcome["problems"]:
            console.errors().print(printable(problem), style="red")
    if outcome["result"] == "invalid":
        return exits.CONFIG
    return exits.OK if outcome["result"] in _GOOD else exits.FAILED
