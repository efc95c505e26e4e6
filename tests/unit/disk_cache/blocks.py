"""Blocks for tests, and a shelf to put them on."""

import random

from mlxd.disk_cache.counts import Counts
from mlxd.disk_cache.directory import CacheDirectory, Terms
from mlxd.disk_cache.extent import CorruptExtentError, ExtentReader
from mlxd.disk_cache.shelf import Shelf
from mlxd.disk_cache.tier import Spilled
from tests.support.faulty_files import FaultyFiles

MIB = 2**20
TERMS = Terms(limit=64 * MIB, spare=0)

_NOISE = random.Random(1).randbytes(4 * MIB)  # noqa: S311


def block(number, size=1000, seed=0):
    """A block whose name tells its number, and whose bytes its number and the seed."""
    chance = random.Random(f"{number} {seed}")  # noqa: S311 - no secret
    own, at = chance.randbytes(min(size, 64)), chance.randrange(MIB)
    payload = own + _NOISE[at : at + size - len(own)]
    name = number.to_bytes(16, "big")
    half = size // 2
    return Spilled(
        digest=name, parent=bytes(16), tokens=(number, 2**40), extra=(b"picture",), payload=(payload[:half], payload[half:], b"")
    )


def names(blocks):
    return [one.digest for one in blocks]


def same(one, other):
    """Whether two blocks say the same."""
    return (one.digest, one.parent, one.tokens, one.extra, [bytes(part) for part in one.payload]) == (
        other.digest,
        other.parent,
        other.tokens,
        other.extra,
        [bytes(part) for part in other.payload],
    )


def shelf(path, identity=b"weights", files=None, model="tiny"):
    directory = CacheDirectory.create(path, files or FaultyFiles())
    return Shelf(directory, identity, model, Counts())


def read(shelf, digest):
    """A block as it is read, or None where it is missing or not what was written."""
    extent = shelf.catalogue.extent(digest)
    if extent is None:
        return None
    try:
        reader = ExtentReader(shelf.directory.files, shelf.directory.extent_path(extent), shelf.identity)
    except (FileNotFoundError, CorruptExtentError):
        return None
    try:
        return reader.block(digest)
    except CorruptExtentError:
        return None
    finally:
        reader.close()
