"""Paths in the file: ``~`` is the user's home, a relative one starts from the file's directory."""

import os
import pwd
from pathlib import Path


def expand(text: str, directory: Path) -> Path:
    """Returns an absolute path. Raises ``ValueError`` saying what it must be."""
    if any(ord(character) < 32 for character in text):
        raise ValueError("must be a path without control characters")
    if text.startswith("~") and text != "~" and not text.startswith("~/"):  # whether there is such a user is nobody's business
        raise ValueError('must be a path in which "~" stands for the home of this user, as in "~/models"; write others in full')
    return directory / (home() / text[2:] if text.startswith("~") else text)


def home() -> Path:
    """Returns the home of this user: ``$HOME``, or what the system knows, as for a service without HOME. Raises ``ValueError``."""
    named = os.environ.get("HOME")
    if named:
        return Path(named)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise ValueError("must be a path without ~: this user has no home directory, and HOME is not set") from None
