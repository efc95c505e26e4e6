"""Regular expressions of JSON Schema, which are JavaScript's, in the dialect of the grammars' library, which is Rust's.

Languages differ in what is white space, a digit, a letter or the end of a line. What is written matches in each of them: a class becomes
what all of them have in it, and its opposite what none of them has.
"""

import re
from collections.abc import Iterator

from mlxd.worker.text.constraints.pointers import Place

_LONGEST = 20_000  # characters

# Of each class what every language has in it, and what any has.
_CLASSES = {
    "s": (r" \t\n\r\f\v", r"\s\x{85}\x1c-\x1f\x{feff}"),
    "d": (r"0-9", r"\p{Nd}"),
    "w": (r"0-9A-Za-z_", r"\p{L}\p{M}\p{N}\p{Pc}\x{200c}\x{200d}"),
}
_ANY = r"[^\n\r\x{2028}\x{2029}]"  # what a point stands for
_POSIX = re.compile(r"\[:\^?[a-z]+:\]")
_PIECE = re.compile(r"\\.|\[\^?|.", re.DOTALL)


def portable(pattern: object, place: Place) -> str:
    """Returns a pattern that matches no text which it does not match in every language. Raises ``InvalidRequestError``."""
    if not isinstance(pattern, str) or len(pattern) > _LONGEST:
        raise place.refusal(f"it must be a regular expression of at most {_LONGEST} characters")
    if _POSIX.search(pattern):
        raise place.refusal("regular expressions of JSON Schema have no classes such as [:alpha:]; write [A-Za-z]")
    return "".join(_translated(pattern))


def _translated(pattern: str) -> Iterator[str]:
    opened = ""  # the class that is open, with what begins it
    for piece in _PIECE.findall(pattern):
        name = piece[1:].lower()
        if piece.startswith("\\"):
            yield _class(name, piece, opened) if name in _CLASSES else piece
        elif opened:
            yield re.sub(r"[\[^&~]", r"\\\g<0>", piece)  # which mean something there, in Rust
            if piece == "]":
                opened = ""
        else:
            opened = piece if piece.startswith("[") else ""
            yield _ANY if piece == "." else piece


def _class(name: str, written: str, opened: str) -> str:
    """Returns a class, outside others or within the one that is ``opened``, of which the opposite may be meant."""
    in_all, in_any = _CLASSES[name]
    is_opposite = written[1].isupper()
    members = in_any if is_opposite != (opened == "[^") else in_all
    return f"[{'^' if is_opposite else ''}{members}]"
