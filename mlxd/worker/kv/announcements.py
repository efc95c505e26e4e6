"""What sequences are computing now, by name: whoever needs the same waits for it instead of computing it again."""

from collections.abc import Iterable, Sequence
from itertools import takewhile


class Announcements:
    """The names of blocks, and of what else it takes to begin behind one, that are not computed yet, each with the one sequence that
    computes it.
    """

    def __init__(self) -> None:
        self._by: dict[bytes, str] = {}
        self._of: dict[str, list[bytes]] = {}

    def __len__(self) -> int:
        return len(self._by)

    def __contains__(self, name: object) -> bool:
        return name in self._by

    def announce(self, sequence: str, names: Iterable[bytes]) -> None:
        """Notes that ``sequence`` is going to compute these, but for those that another one computes already."""
        own = self._of.setdefault(sequence, [])
        for name in names:
            if self._by.setdefault(name, sequence) == sequence:
                own.append(name)

    def last_of(self, names: Sequence[bytes]) -> bytes | None:
        """Returns the last of the first ``names``, up to one that nobody computes; None where the very first is such."""
        coming = list(takewhile(self._by.__contains__, names))
        return coming[-1] if coming else None

    def withdraw(self, sequence: str, name: bytes) -> None:
        """Notes that it is computed; does nothing where the sequence has not announced it."""
        if self._by.get(name) == sequence:
            del self._by[name]

    def withdraw_all(self, sequence: str) -> None:
        """Notes that the sequence computes nothing that others may wait for."""
        for name in self._of.pop(sequence, []):
            self.withdraw(sequence, name)

    def check_integrity(self, sequences: Iterable[str]) -> None:
        """Raises ``AssertionError`` unless whatever is announced is by one of ``sequences``."""
        assert set(self._by.values()) <= set(sequences), "a closed sequence is still announced"


def rest_name(digest: bytes) -> bytes:
    """Returns the name of what it takes to begin behind a block, beside the block: a recurrent state, and what windows show there."""
    return b"rest" + digest
