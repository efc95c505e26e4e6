"""The process's standard streams, which may be closed, on a full disk, or without a reader: none of that ends a daemon."""

import contextlib
import os
import sys
from typing import Literal, TextIO


def open_standard_streams() -> None:
    """Where one is closed (``mlxd >&-``), ``/dev/null`` takes its place, so that no socket or file of ours gets its number.

    To be called before anything is opened.
    """
    for number in range(3):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or _stream(0, "r")
    sys.stdout = sys.stdout or _stream(1, "w")
    sys.stderr = sys.stderr or _stream(2, "w")


def say(text: str, stream: TextIO) -> None:
    """Print a line for people. Where that cannot be done, nobody reads what else goes there."""
    try:
        print(text, file=stream, flush=True)
    except (OSError, ValueError):
        abandon(stream)


def abandon(stream: TextIO) -> None:
    """Whatever is or will be written there goes nowhere; in particular nothing fails when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()


def _stream(number: int, mode: Literal["r", "w"]) -> TextIO:
    return open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
