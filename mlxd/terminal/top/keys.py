"""Keys of a terminal: from bytes to what they mean, and the mode in which a terminal hands them over one by one."""

import os
import re
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from mlxd.terminal.top.view import Key

_SEQUENCE = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|[\xc0-\xff][\x80-\xbf]+|.", re.DOTALL)
_MEANINGS = {
    b"\x1b[A": Key.UP,
    b"\x1bOA": Key.UP,
    b"k": Key.UP,
    b"\x1b[B": Key.DOWN,
    b"\x1bOB": Key.DOWN,
    b"j": Key.DOWN,
    b"\r": Key.ENTER,
    b"\n": Key.ENTER,
    b"\x1b": Key.BACK,
    b"s": Key.SORT,
    b"p": Key.PAUSE,
    b" ": Key.PAUSE,
    b"?": Key.HELP,
    b"h": Key.HELP,
    b"q": Key.QUIT,
}


def decode(data: bytes) -> list[Key]:
    """Returns the keys that were typed."""
    return [_MEANINGS.get(typed, Key.OTHER) for typed in _SEQUENCE.findall(data)]


@contextmanager
def key_by_key(terminal: int) -> Iterator[None]:
    """Hands keys over at once and without an echo until the block ends. Ctrl-C interrupts as always; Ctrl-Z, which would leave the drawn
    screen behind, does nothing.
    """
    before = termios.tcgetattr(terminal)
    changed = termios.tcgetattr(terminal)
    changed[3] &= ~(termios.ICANON | termios.ECHO)
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    changed[6][termios.VSUSP] = bytes([os.fpathconf(terminal, "PC_VDISABLE")])
    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, changed)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
