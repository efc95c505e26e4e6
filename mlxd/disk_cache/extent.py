"""A file of blocks that were written together, and never change.

::

    magic | length of the table | checksum | table: name, place and length of each record | record | record | …
    record: checksum | length of the head | head: name, parent, tokens, extra keys, length of each buffer | buffers

Every checksum begins with the identity of the cache, so that what was written for other weights is as wrong as a flipped bit. It is half a
SHA-256: by instructions that today's processors have it takes half of BLAKE2b's time, and unlike a CRC it finds what is changed on purpose.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlxd.disk_cache.files import Files
from mlxd.disk_cache.tier import Spilled

_MAGIC = b"mlxdkv1\n"
_CHECKSUM_BYTES = 16
_LENGTH = struct.Struct("<I")
_FIXED = len(_MAGIC) + _LENGTH.size + _CHECKSUM_BYTES
_LARGEST_TABLE = 2**20  # bytes; a length that says more was not written by us
_ALIGNED = 16  # bytes, of the buffers in a record
_FIRST_READ = 4096  # bytes, in which most tables are whole


class CorruptExtentError(Exception):
    """What was read is not what was written."""


class _Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a record is."""

    digest: bytes
    offset: int
    length: int


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """What a record says of its block."""

    digest: bytes
    parent: bytes
    tokens: tuple[int, ...]
    extra: tuple[bytes, ...]
    lengths: tuple[int, ...]


_table_decoder = msgspec.msgpack.Decoder(list[_Place])
_head_decoder = msgspec.msgpack.Decoder(_Head)


@dataclass(frozen=True)
class Extent:
    """The bytes of a file before they are written: the table's, then those of each record."""

    names: tuple[bytes, ...]
    pieces: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Returns its length in bytes."""
        return sum(map(len, self.pieces))


def build(blocks: Sequence[Spilled], identity: bytes) -> Extent:
    """Returns the extent that holds ``blocks``."""
    records = [_record(block, identity) for block in blocks]
    places = [_Place(block.digest, 0, len(record)) for block, record in zip(blocks, records, strict=True)]
    offset = _FIXED + len(msgspec.msgpack.encode(places)) + 9 * len(places)  # an offset takes up to nine bytes, and one is counted
    offset = -(-offset // _ALIGNED) * _ALIGNED
    first = offset
    for index, record in enumerate(records):
        places[index] = _Place(places[index].digest, offset, len(record))
        offset += len(record)
    table = msgspec.msgpack.encode(places)
    header = _MAGIC + _LENGTH.pack(len(table)) + _checksum(identity, table) + table
    return Extent(tuple(block.digest for block in blocks), (header.ljust(first, b"\0"), *records))


class ExtentReader:
    """An open extent. Raises ``OSError``, and ``CorruptExtentError`` for one that is not what was written."""

    def __init__(self, files: Files, path: Path, identity: bytes) -> None:
        self._files = files
        self._identity = identity
        self._descriptor = files.open(path)
        try:
            self._places = {place.digest: place for place in self._table()}
        except BaseException:
            self.close()
            raise

    def block(self, digest: bytes) -> Spilled:
        """Returns a block that it holds."""
        place = self._places.get(digest)
        if place is None:
            raise CorruptExtentError("a block is not where it was")
        record = self._files.read(self._descriptor, place.length, place.offset)
        if len(record) != place.length or _checksum(self._identity, memoryview(record)[_CHECKSUM_BYTES:]) != record[:_CHECKSUM_BYTES]:
            raise CorruptExtentError("a block is not what was written")
        return _parsed(record, digest)

    def close(self) -> None:
        self._files.close(self._descriptor)

    def _table(self) -> list[_Place]:
        begin = self._files.read(self._descriptor, _FIRST_READ, 0)
        if len(begin) < _FIXED or not begin.startswith(_MAGIC):
            raise CorruptExtentError("a file begins as none of mlxd's")
        (length,) = _LENGTH.unpack_from(begin, len(_MAGIC))
        if length > _LARGEST_TABLE:
            raise CorruptExtentError("a table is longer than any")
        if _FIXED + length > len(begin):
            begin = self._files.read(self._descriptor, _FIXED + length, 0)
        table = begin[_FIXED : _FIXED + length]
        if _checksum(self._identity, table) != begin[_FIXED - _CHECKSUM_BYTES : _FIXED]:
            raise CorruptExtentError("a table is not what was written")
        return _table_decoder.decode(table)


def _record(block: Spilled, identity: bytes) -> bytes:
    buffers = [memoryview(part).cast("B") for part in block.payload]
    head = msgspec.msgpack.encode(
        _Head(block.digest, block.parent, block.tokens, block.extra, tuple(buffer.nbytes for buffer in buffers)),
    )
    prefix = (_LENGTH.pack(len(head)) + head).ljust(_prefix(len(head)) - _CHECKSUM_BYTES, b"\0")
    padding = b"\0" * (-sum(buffer.nbytes for buffer in buffers) % _ALIGNED)
    body = b"".join([prefix, *buffers, padding])
    return _checksum(identity, body) + body


def _parsed(record: bytes, digest: bytes) -> Spilled:
    (length,) = _LENGTH.unpack_from(record, _CHECKSUM_BYTES)
    start = _CHECKSUM_BYTES + _LENGTH.size
    head = _head_decoder.decode(record[start : start + length])
    if head.digest != digest:
        raise CorruptExtentError("a block has another name")
    view, offset, payload = memoryview(record), _prefix(length), []
    for size in head.lengths:
        payload.append(view[offset : offset + size])
        offset += size
    return Spilled(digest=digest, parent=head.parent, tokens=head.tokens, extra=head.extra, payload=tuple(payload))


def _prefix(head: int) -> int:
    """Returns the bytes before the buffers of a record whose head takes ``head`` bytes."""
    return -(-(_CHECKSUM_BYTES + _LENGTH.size + head) // _ALIGNED) * _ALIGNED


def _checksum(identity: bytes, data: bytes | memoryview) -> bytes:
    state = hashlib.sha256(identity)
    state.update(data)
    return state.digest()[:_CHECKSUM_BYTES]
