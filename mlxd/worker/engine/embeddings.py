"""What pictures and films have become that were encoded: bytes of embeddings, by what they show, the least recently used first."""

from collections.abc import Callable, Collection, Iterable


class Embeddings:
    """The embeddings that an executor holds, each of ``bytes_each`` bytes, or what is seen to be more. Those that nobody needs take no more
    than ``limit`` bytes, together with the others.
    """

    def __init__(self, bytes_each: int) -> None:
        self.limit = 0  # may be changed at any time
        self.bytes = 0
        self.evicted = 0  # ever
        self._sizes: dict[bytes, int] = {}
        self._bytes_each: float = bytes_each

    def __contains__(self, content: bytes) -> bool:
        return content in self._sizes

    def __len__(self) -> int:
        """Returns of how many pictures and films there are any."""
        return len(self._sizes)

    def add(self, content: bytes, size: int, count: int) -> None:
        """Takes in that ``content`` was encoded: its ``count`` embeddings take ``size`` bytes."""
        self._bytes_each = max(self._bytes_each, size / count)
        self.bytes += size - self._sizes.pop(content, 0)
        self._sizes[content] = size

    def use(self, contents: Iterable[bytes]) -> None:
        """Takes in that these are needed now, as far as they are there."""
        for content in contents:
            if content in self._sizes:
                self._sizes[content] = self._sizes.pop(content)

    def bytes_of(self, contents: Iterable[bytes]) -> int:
        """Returns what these take, as far as they are there."""
        return sum(self._sizes.get(content, 0) for content in contents)

    def expected(self, count: int) -> int:
        """Returns what ``count`` embeddings will take."""
        return int(count * self._bytes_each)

    def make_room(self, coming: int, needed: Collection[bytes], waited_for: Callable[[bytes], bool]) -> list[bytes]:
        """Lets go of what is beyond the limit where ``coming`` bytes come in, but for what is ``needed``: first of what nobody waits for.
        Returns what that was.
        """
        gone = self._drop(coming, lambda content: content in needed or waited_for(content))
        return gone + self._drop(coming, needed.__contains__)

    def evict(self, kept: Callable[[bytes], bool]) -> list[bytes]:
        """Lets go of all but what is ``kept``, and returns it."""
        return self._remove([content for content in self._sizes if not kept(content)])

    def forget(self) -> None:
        """Forgets everything: it is gone."""
        self._sizes, self.bytes = {}, 0

    def _drop(self, coming: int, kept: Callable[[bytes], bool]) -> list[bytes]:
        gone, beyond = [], self.bytes + coming - self.limit
        for content, size in self._sizes.items():
            if beyond <= 0:
                break
            if not kept(content):
                gone.append(content)
                beyond -= size
        return self._remove(gone)

    def _remove(self, gone: list[bytes]) -> list[bytes]:
        self.bytes -= sum(self._sizes.pop(content) for content in gone)
        self.evicted += len(gone)
        return gone
