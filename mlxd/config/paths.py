"""Paths in the file: ``~`` is the user's home, a relative one starts from the file's directory."""

from pathlib import Path


def expand(text: str, directory: Path) -> Path:
    """Returns an absolute path. Raises ``ValueError`` saying what it must be."""
    if any(ord(character) < 32 for character in text):
        raise ValueError("must be a path without control characters")
    if text.startswith("~") and text != "~" and not text.startswith("~/"):  # whether there is such a user is nobody's business
        raise ValueError('must be a path in which "~" stands for the home of this user, as in "~/models"; write others in full')
    try:
        return directory / Path(text).expanduser()
    except RuntimeError:
        raise ValueError("must be a path whose home directory exists; write it without the ~") from None
