"""What is read from disk for sequences that wait for it: piece by piece, each once, however many want it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic

from mlxd.disk_cache.tier import DiskTier, Spilled
from mlxd.worker.kv.block_chain import BlockChain, BlockKey

_PIECE = 8 * 2**20  # bytes of payload that are read at a time
_IN_FLIGHT = 256 * 2**20  # bytes that are being read, or are read and not in the cache yet


@dataclass(eq=False)
class _Piece:
    """Some blocks of a chain, one after the other, and who waits for them. ``who`` asked first: they are charged to him."""

    digests: tuple[bytes, ...]
    keys: tuple[BlockKey, ...]
    who: str
    readers: set[str]
    future: Future[tuple[Spilled, ...]] | None = None  # None: not begun
    began: float = 0.0
    done: float | None = None

    @property
    def is_done(self) -> bool:
        return self.done is not None


@dataclass(frozen=True)
class Recalled:
    """Blocks that came from disk and are what was looked for, the seconds that it took to read them, and the holder who wanted them."""

    digests: tuple[bytes, ...]
    keys: tuple[BlockKey, ...]
    payloads: tuple[tuple[memoryview, ...], ...]
    seconds: float
    size: int = field(default=0)  # bytes
    who: str = ""


class Recall:
    """Reads of blocks of ``block_bytes`` each, for readers that are named. ``clock`` returns seconds; any thread may call it."""

    def __init__(self, tier: DiskTier, block_bytes: int, clock: Callable[[], float] = monotonic) -> None:
        self._tier = tier
        self._block_bytes = block_bytes
        self._clock = clock
        self._pieces: dict[bytes, _Piece] = {}  # by the name of each of their blocks
        self._queue: list[_Piece] = []  # in the order in which they were asked for
        self._last_done = 0.0

    @property
    def is_reading(self) -> bool:
        """Tells whether anybody waits for a read."""
        return bool(self._queue)

    def stored(self, chain: BlockChain, start: int, stop: int) -> int:
        """Returns how many blocks of ``chain`` are on disk, from its block ``start`` on and before ``stop``. It reads nothing."""
        return self._tier.known(chain.digests[start:stop]) if start < stop else 0

    def awaits(self, reader: str) -> bool:
        """Tells whether ``reader`` still waits for anything."""
        return any(reader in piece.readers for piece in self._queue)

    def begin(self, reader: str, chain: BlockChain, start: int, stop: int, who: str = "") -> None:
        """Begins to read the blocks of ``chain`` from ``start`` to ``stop`` for a reader of ``who``, but for what is being read already."""
        most = max(1, _PIECE // self._block_bytes)
        new: list[int] = []
        for index in range(start, stop):
            piece = self._pieces.get(chain.digests[index])
            if piece is None or piece.keys[piece.digests.index(chain.digests[index])] != chain.keys[index]:
                new.append(index)
            else:
                piece.readers.add(reader)
            if len(new) == most or (piece is not None and new):
                self._add(reader, chain, new, who)
                new = []
        if new:
            self._add(reader, chain, new, who)
        self._submit()

    def forget(self, reader: str) -> None:
        """Lets a reader wait for nothing any more; what nobody else waits for is not read."""
        for piece in list(self._queue):
            piece.readers.discard(reader)
            if not piece.readers:
                self._drop(piece)
        self._submit()

    def take(self, most: int) -> list[Recalled]:
        """Returns what has come since the last time, in the order in which it was asked for: up to ``most`` bytes, but one piece at least.
        Whoever waits for what comes behind a block that is missing waits no more.
        """
        found: list[Recalled] = []
        while self._queue and self._queue[0].is_done and (not found or sum(one.size for one in found) < most):
            piece = self._queue[0]
            self._drop(piece)
            recalled = self._recalled(piece)
            if recalled.digests:
                found.append(recalled)
            if len(recalled.digests) < len(piece.digests):
                for reader in piece.readers:
                    self.forget(reader)
        self._submit()
        return found

    def reset(self) -> None:
        """Forgets all reads, also those that are under way: nobody takes what they bring."""
        for piece in list(self._queue):
            self._drop(piece)

    def _add(self, reader: str, chain: BlockChain, indices: Sequence[int], who: str) -> None:
        first, last = indices[0], indices[-1] + 1
        piece = _Piece(tuple(chain.digests[first:last]), tuple(chain.keys[first:last]), who, {reader})
        self._pieces.update(dict.fromkeys(piece.digests, piece))
        self._queue.append(piece)

    def _submit(self) -> None:
        """Begins as many reads as memory is meant for, and one at least."""
        room = max(1, _IN_FLIGHT // self._block_bytes)
        for at, piece in enumerate(self._queue):
            room -= len(piece.digests)
            if room < 0 and at:
                return
            if piece.future is None:
                piece.began = self._clock()
                piece.future = self._tier.read(piece.digests)
                piece.future.add_done_callback(lambda _, piece=piece: self._note(piece))  # type: ignore[misc]

    def _note(self, piece: _Piece) -> None:
        """Notes, on whatever thread, that a read is done."""
        piece.done = self._clock()

    def _drop(self, piece: _Piece) -> None:
        self._queue.remove(piece)
        for digest in piece.digests:
            if self._pieces.get(digest) is piece:
                del self._pieces[digest]
        if piece.future is not None:
            piece.future.cancel()

    def _recalled(self, piece: _Piece) -> Recalled:
        """Returns what of a piece that is done is what was looked for: a name is a hash, so what it was made of is compared."""
        assert piece.future is not None
        assert piece.done is not None
        read = () if piece.future.cancelled() else piece.future.result()
        good = tuple(_matching(piece, read, self._block_bytes))
        seconds = piece.done - max(piece.began, self._last_done)  # they are read one after the other
        self._last_done = piece.done
        return Recalled(
            piece.digests[: len(good)],
            piece.keys[: len(good)],
            tuple(tuple(map(memoryview, one.payload)) for one in good),
            max(0.0, seconds),
            sum(one.size for one in good),
            piece.who,
        )


def _matching(piece: _Piece, read: Sequence[Spilled], size: int) -> Iterator[Spilled]:
    for digest, key, one in zip(piece.digests, piece.keys, read, strict=False):
        if (one.digest, one.parent, tuple(one.tokens), tuple(one.extra)) != (digest, key.parent, key.tokens, key.extra):
            return
        if [memoryview(part).nbytes for part in one.payload] != [size]:
            return
        yield one
