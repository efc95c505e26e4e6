"""Extents: what is written comes back, and nothing else ever does."""

import random

import pytest

from mlxd.disk_cache.extent import CorruptExtentError, ExtentReader, build
from mlxd.disk_cache.files import SystemFiles
from tests.unit.disk_cache.blocks import block, same

FILES = SystemFiles()
IDENTITY = b"weights, int8, 16"
BLOCKS = [block(number, size) for number, size in ((1, 0), (2, 1), (3, 700), (4, 5000))]


def stored(path, blocks=BLOCKS, identity=IDENTITY):
    path.write_bytes(b"".join(build(blocks, identity).pieces))
    return path


def found(path, identity=IDENTITY, blocks=BLOCKS):
    """Each block as it comes back; None for one that is found out."""
    try:
        reader = ExtentReader(FILES, path, identity)
    except CorruptExtentError:
        return [None] * len(blocks)
    answers = []
    for one in blocks:
        try:
            answers.append(reader.block(one.digest))
        except CorruptExtentError:
            answers.append(None)
    reader.close()
    return answers


def test_blocks_come_back(tmp_path):
    assert all(map(same, found(stored(tmp_path / "1.extent")), BLOCKS))


def test_the_table_may_be_longer_than_what_is_read_at_first(tmp_path):
    many = [block(number, 20) for number in range(400)]
    assert all(map(same, found(stored(tmp_path / "1.extent", many), blocks=many), many))


def test_buffers_begin_where_numbers_may(tmp_path):
    one = found(stored(tmp_path / "1.extent"))[3]
    first = memoryview(one.payload[0].obj)
    offset = one.payload[0].nbytes and bytes(first).index(bytes(one.payload[0]))
    assert offset % 16 == 0


def test_a_thousand_corruptions_are_all_found_out(tmp_path):
    """Bits flipped, files cut, bytes of another place or of another file put in, files swapped: every block is right, or is missed."""
    chance = random.Random(5)  # noqa: S311 - no secret
    path, other = tmp_path / "1.extent", tmp_path / "2.extent"
    good = stored(path).read_bytes()
    foreign = stored(other, [block(number, 700, seed=1) for number in (1, 2, 3, 4)]).read_bytes()

    def flip(data):
        place = chance.randrange(len(data))
        data[place] ^= 1 << chance.randrange(8)

    def cut(data):
        del data[chance.randrange(len(data)) :]

    def move(data):
        size, source, target = chance.randrange(1, 600), chance.randrange(len(data)), chance.randrange(len(data))
        data[target : target + size] = data[source : source + size]

    def mix(data):
        size, place = chance.randrange(1, 600), chance.randrange(len(data))
        data[place : place + size] = foreign[place : place + size]

    def zero(data):
        size, place = chance.randrange(1, 4096), chance.randrange(len(data))
        data[place : place + size] = bytes(len(data[place : place + size]))

    missed = 0
    for _ in range(1000):
        data = bytearray(good)
        chance.choice((flip, cut, move, mix, zero))(data)
        path.unlink()  # to cut a file that is there is slow
        path.write_bytes(data)
        answers = found(path)
        assert all(answer is None or same(answer, one) for answer, one in zip(answers, BLOCKS, strict=True))
        assert None in answers or data == good or good.startswith(data) or _only_padding(good, data)
        missed += None in answers
    assert missed > 800


def _only_padding(good, data):
    """Zeros between records and at their ends mean nothing; the table's head does."""
    return len(good) == len(data) and all(one == 0 for one, other in zip(good, data, strict=True) if one != other)


def test_what_other_weights_wrote_is_not_found(tmp_path):
    assert found(stored(tmp_path / "1.extent", identity=b"other weights")) == [None] * 4


def test_a_file_of_another_name_has_none_of_its_blocks(tmp_path):
    with pytest.raises(CorruptExtentError, match="not where it was"):
        ExtentReader(FILES, stored(tmp_path / "2.extent", [block(7)]), IDENTITY).block(BLOCKS[0].digest)


def test_an_empty_file_is_none_of_ours(tmp_path):
    (tmp_path / "1.extent").touch()
    assert found(tmp_path / "1.extent") == [None] * 4
