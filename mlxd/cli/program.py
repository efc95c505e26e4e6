"""From arguments to an exit code. Whatever goes wrong is said in words, on standard error."""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence

from mlxd.cli import completion, configuration, disk_cache, doctor, exits, files, models, state, top
from mlxd.cli.parser import Commands, Parser
from mlxd.errors import ConfigError, DaemonUnreachableError, ListenError, MlxdError
from mlxd.terminal.streams import abandon, open_standard_streams, say
from mlxd.terminal.values import printable

_FAMILIES = (files, state, top, configuration, models, disk_cache, doctor, completion)

_OF_THE_SYSTEM = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EROFS}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    open_standard_streams()
    arguments = sys.argv[1:] if argv is None else list(argv)
    args = build_parser().parse_args(arguments if _names_command(arguments) else ["serve", *arguments])
    try:
        code = int(args.run(args))
        sys.stdout.flush()  # here, where it may fail
    except BrokenPipeError:  # the reader of our output is satisfied
        abandon(sys.stdout)
        return exits.OK
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - every error of a command ends here, and a bug must be explained as well
        message, code = _explain(error, args)
        say(printable(message), sys.stderr)
        if isinstance(error, OSError):
            abandon(sys.stdout)  # if it was that which failed, it would fail again when the interpreter ends
    return code


def build_parser() -> Parser:
    commands = Commands()
    for family in _FAMILIES:
        family.add_commands(commands)
    return commands.parser


def _names_command(arguments: Sequence[str]) -> bool:
    """Tells whether a command is named: options alone mean ``serve``, while ``-h`` and ``--version`` belong to the program."""
    first = arguments[0] if arguments else ""
    return (not first.startswith("-") and bool(first)) or first in {"-h", "--help", "--version"}


def _explain(error: Exception, args: argparse.Namespace) -> tuple[str, int]:
    """Returns what to say of ``error``, and the exit code."""
    match error:
        case exits.UsageError():
            return f"mlxd: {error}", exits.USAGE
        case ConfigError():
            return "\n".join(error.problems), exits.CONFIG
        case ListenError() | DaemonUnreachableError():
            return f"mlxd: {error.message}", exits.UNAVAILABLE
        case MlxdError():
            return f"mlxd: {error.message}", exits.FAILED
        case OSError() if error.errno in _OF_THE_SYSTEM:
            return f"mlxd: {error.strerror}{f': {error.filename}' if error.filename else ''}", exits.FAILED
        case _:
            return _describe_bug(error, args), exits.SOFTWARE


def _describe_bug(error: Exception, args: argparse.Namespace) -> str:
    """Describes a bug in full for the daemon's log; for a short-lived command it says where to look."""
    if args.run is files.serve:
        return "".join(traceback.format_exception(error)).rstrip()
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"mlxd: internal error: {type(error).__name__}: {error} ({os.path.basename(at.filename)}:{at.lineno})"  # noqa: PTH119
