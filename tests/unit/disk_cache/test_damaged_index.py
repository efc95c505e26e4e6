"""An index whose bytes were changed: what is found is what was written, and what is not can be written again."""

import random
import shutil
import time

import pytest

from mlxd.disk_cache.disk_cache import DiskCache
from mlxd.disk_cache.session import Pauses
from mlxd.disk_terms import DiskSettings, DiskState
from tests.support.faulty_files import FaultyFiles
from tests.support.patience import PATIENCE
from tests.unit.disk_cache.blocks import MIB, TERMS, block, names, same, shelf
from tests.unit.disk_cache.test_disk_cache import Fixed, until

BLOCKS = [block(number) for number in range(40)]
NAMES = names(BLOCKS)
SOON = Pauses(first=0.01, longest=0.02, patience=60.0, looks=0.02)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A directory with blocks of two models, nobody has it open."""
    path = tmp_path_factory.mktemp("good") / "cache"
    for identity in (b"weights", b"others"):
        cache = shelf(path, identity)
        for first in range(0, 40, 4):
            cache.write(BLOCKS[first : first + 4], TERMS)
        cache.directory.close()
    return path


def damaged(data, chance):
    """Some bytes flipped, cut, zeroed or in another place."""
    size, place, source = chance.randrange(1, 300), chance.randrange(len(data)), chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            data[place] ^= 1 << chance.randrange(8)
        case 1:
            del data[place:]
        case 2:
            data[place : place + size] = bytes(len(data[place : place + size]))
        case _:
            data[place : place + size] = data[source : source + len(data[place : place + size])]
    return data


@pytest.mark.parametrize("seed", range(60))
def test_nothing_wrong_is_found_and_it_is_of_use_again(good, tmp_path, seed):
    path = shutil.copytree(good, tmp_path / "cache")
    index = path / "index.sqlite"
    index.write_bytes(damaged(bytearray(index.read_bytes()), random.Random(seed)))  # noqa: S311 - no secret
    settings = DiskSettings(path=str(path), limit=64 * MIB)
    cache = DiskCache("tiny", Fixed(), settings, queue_bytes=MIB, files=FaultyFiles(), pauses=SOON, spare=0)
    until(lambda: cache.figures().state is DiskState.ON)
    for name, one in zip(NAMES, BLOCKS, strict=True):
        assert all(same(found, one) for found in cache.read([name]).result(PATIENCE))
    new = [block(number) for number in range(100, 104)]
    end = time.monotonic() + PATIENCE
    while cache.known(names(new)) < len(new):  # a session may end first, when it stumbles over what is damaged
        assert time.monotonic() < end
        cache.write(new)
        cache.settle(PATIENCE)
    assert [one.digest for one in cache.read(names(new)).result(PATIENCE)] == names(new)
    cache.close()
