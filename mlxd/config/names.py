"""Names by which clients ask for a model: exact ones, and patterns in which ``*`` stands for any text, also for none.

Nothing but ``*`` is special, so that ``claude-sonnet-4-5[1m]`` is a name like any other (to ``fnmatch`` it is none). Upper and lower case
differ. Of the patterns that match, the one with the most characters beside its stars is taken; of several, the one with the longest
beginning.
"""

from collections.abc import Iterable
from itertools import chain

MOST_MATCHED = 256  # characters; a longer name is matched by no pattern, for answers repeat it

_ANY = "*"


def is_pattern(name: str) -> bool:
    """Tells whether a name stands for many."""
    return _ANY in name


def without_patterns(names: Iterable[str]) -> list[str]:
    """Returns the names that stand for themselves, which may be listed."""
    return [name for name in names if not is_pattern(name)]


def specificity(pattern: str) -> tuple[int, int]:
    """Returns how many characters of a pattern stand for themselves, and how many of them before its first star."""
    return len(pattern) - pattern.count(_ANY), pattern.index(_ANY)


def matches(pattern: str, name: str) -> bool:
    """Tells whether a pattern matches the whole name, or is that name where it has no star. It takes a time that grows with the name's
    length alone.
    """
    if not is_pattern(pattern):
        return pattern == name
    head, *middle, tail = pattern.split(_ANY)
    at, end = len(head), len(name) - len(tail)
    if len(name) > MOST_MATCHED or end < at or not (name.startswith(head) and name.endswith(tail)):
        return False
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def common_name(one: str, other: str) -> str | None:
    """Returns a name that both patterns match; None where there is none.

    There is one unless their beginnings or their ends contradict each other: what stands between stars can follow one after the other.
    """
    (head, *middle, tail), (other_head, *other_middle, other_tail) = one.split(_ANY), other.split(_ANY)
    first, last = max(head, other_head, key=len), max(tail, other_tail, key=len)
    agree = first.startswith(head) and first.startswith(other_head) and last.endswith(tail) and last.endswith(other_tail)
    return "".join(chain([first], middle, other_middle, [last])) if agree else None
