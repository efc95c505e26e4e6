"""What blocks on disk depend on: of other weights, or in another layout, they are of no use."""

import hashlib
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from typing_extensions import override

_CHUNK = 2**23  # bytes
_DIGEST_BYTES = 32
_WEIGHTS = frozenset({".safetensors", ".gguf", ".npz"})


class DigestMemory(Protocol):
    """Digests of files that have not changed since they were hashed."""

    def known_digest(self, path: str, stamp: bytes) -> bytes | None:
        """Returns the digest of a file that had this stamp."""
        ...

    def remember_digest(self, path: str, stamp: bytes, digest: bytes) -> None:
        """Notes the digest of a file."""
        ...


class Identity(Protocol):
    """What the blocks of a tier depend on, as a digest that may take its time."""

    def digest(self, memory: DigestMemory, beat: Callable[[], None]) -> bytes:
        """Returns the digest. It calls ``beat`` every moment, which raises when nobody wants it any more. Raises ``OSError``."""
        ...


class WeightsIdentity(Identity):
    """The contents of a model's files, all of them, and ``parts``: types, sizes and versions that its blocks are made by.

    A file is hashed once: while its path, size, inode and time of change are the same, so is its digest.
    """

    def __init__(self, files: Sequence[Path], parts: Sequence[str]) -> None:
        self._files = sorted(files)
        self._parts = tuple(parts)
        self._digests: dict[tuple[str, bytes], bytes] = {}

    @classmethod
    def of_model(cls, directory: Path, parts: Sequence[str]) -> "WeightsIdentity":
        """Returns the identity of a model's directory: its weights and its configuration. What its tokens mean is in the blocks' names."""
        files = [path for path in directory.rglob("*") if path.suffix in _WEIGHTS or path.name == "config.json"]
        return cls(files, parts)

    @override
    def digest(self, memory: DigestMemory, beat: Callable[[], None]) -> bytes:
        state = hashlib.sha256()
        for part in self._parts:
            data = part.encode()
            state.update(struct.pack("<I", len(data)) + data)
        for path in self._files:
            state.update(path.name.encode() + b"\0" + self._of_file(path.resolve(), memory, beat))
        return state.digest()

    def _of_file(self, path: Path, memory: DigestMemory, beat: Callable[[], None]) -> bytes:
        status = path.stat()
        stamp = struct.pack("<QqQ", status.st_size, status.st_mtime_ns, status.st_ino)
        known = self._digests.get((str(path), stamp)) or memory.known_digest(str(path), stamp)
        if known is None or len(known) != _DIGEST_BYTES:
            known = _hashed(path, beat)
            memory.remember_digest(str(path), stamp, known)
        self._digests[str(path), stamp] = known
        return known


def _hashed(path: Path, beat: Callable[[], None]) -> bytes:
    state = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
            beat()
    return state.digest()
