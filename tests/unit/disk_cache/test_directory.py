"""A directory: whose it is, what it takes, what is removed first, what is left of a process that was killed."""

import errno
import sqlite3
from pathlib import Path

import pytest

from mlxd.disk_cache.directory import BudgetSpentError, CacheDirectory, Terms, TooLargeError, UnusableDirectoryError
from mlxd.disk_cache.files import SystemFiles
from tests.support.faulty_files import FaultyFiles, KilledError, disk_usage
from tests.unit.disk_cache.blocks import MIB, TERMS, block, names, read, same, shelf

FILES = SystemFiles()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache"


def modes(path):
    return {found.name: found.stat().st_mode & 0o777 for found in [path, *path.rglob("*")]}


def test_it_is_for_its_owner_alone(path):
    shelf(path).write([block(1)], TERMS)
    assert set(modes(path).values()) == {0o700, 0o600}
    assert (path / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")


def test_one_that_others_may_read_is_closed_to_them(path):
    path.mkdir(mode=0o755)
    shelf(path)
    assert path.stat().st_mode & 0o777 == 0o700


def test_what_is_not_a_cache_stays_as_it_is(path):
    path.mkdir(mode=0o755)
    (path / "thesis.txt").write_text("mine")
    with pytest.raises(UnusableDirectoryError, match=r"holds something else, 'thesis.txt'"):
        CacheDirectory.create(path, FILES)
    assert path.stat().st_mode & 0o777 == 0o755
    assert [found.name for found in path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [("missing/cache", "is not there: is its disk mounted?"), ("file", "is not a directory")],
)
def test_a_place_where_there_can_be_none(tmp_path, place, reason):
    (tmp_path / "file").touch()
    with pytest.raises(UnusableDirectoryError, match=reason.replace("?", r"\?")):
        CacheDirectory.create(tmp_path / place, FILES)
    assert not (tmp_path / "missing").exists()


def test_a_relative_path_is_none():
    with pytest.raises(UnusableDirectoryError, match="not an absolute path"):
        CacheDirectory.create(Path("cache"), FILES)


def test_who_only_looks_makes_nothing(path):
    with pytest.raises(UnusableDirectoryError, match="holds no cache"):
        CacheDirectory.existing(path, FILES)
    assert not path.exists()


def test_what_is_written_is_there_after_a_restart(path):
    blocks = [block(number) for number in range(5)]
    first = shelf(path)
    first.write(blocks, TERMS)
    first.directory.close()
    again = shelf(path)
    assert again.catalogue.known(names(blocks)) == 5
    assert all(same(read(again, one.digest), one) for one in blocks)


def test_other_weights_know_nothing_of_it(path):
    shelf(path).write([block(1)], TERMS)
    assert shelf(path, b"other weights").catalogue.known(names([block(1)])) == 0


def test_the_limit_is_kept_while_it_is_written(path):
    terms = Terms(limit=4 * MIB, spare=0)
    files = FaultyFiles()
    files.after = lambda: path.exists() and peaks.append(disk_usage(path))
    peaks = []
    one, other = shelf(path, files=files), shelf(path, b"another model")
    for number in range(30):
        (one, other)[number % 2].write([block(number, 300_000)], terms)
    assert max(peaks) <= 4 * MIB
    assert max(peaks) > 2 * MIB
    assert one.directory.size() >= disk_usage(path)


def test_the_least_recently_used_is_removed_first(path):
    terms = Terms(limit=4 * MIB, spare=0)
    cache = shelf(path)
    for number in range(8):
        cache.write([block(number, 300_000)], terms)
    cache.catalogue.use(names([block(0)]))
    cache.write([block(8, 600_000), block(9, 300_000)], terms)
    known = [number for number in range(10) if cache.catalogue.known(names([block(number)]))]
    assert known[0] == 0
    assert known[-2:] == [8, 9]
    assert 1 not in known
    assert known[1:] == list(range(known[1], 10))


def test_of_a_chain_the_end_is_removed_first(path):
    chain = [block(number, 300_000) for number in range(4)]
    cache = shelf(path)
    for one in chain:
        cache.write([one], TERMS)
    cache.catalogue.use(names(chain))
    cache.write([block(9)], TERMS)
    cache.directory.prune(keep=700_000)
    cache.look()
    assert cache.catalogue.known(names(chain)) == 2


def test_a_lower_limit_is_kept_from_then_on(path):
    cache = shelf(path)
    for number in range(10):
        cache.write([block(number, 300_000)], TERMS)
    cache.shrink(Terms(limit=3 * MIB, spare=0))
    assert disk_usage(path) <= 3 * MIB
    assert 0 < cache.catalogue.held().blocks < 10


def test_what_is_being_written_takes_its_place_already(path):
    terms = Terms(limit=4 * MIB, spare=0)
    one, other = shelf(path), shelf(path, b"another model")
    other.write([block(1)], terms)
    begun = one.directory.begin(1, (b"name",), 2 * MIB, terms)
    with pytest.raises(TooLargeError):
        other.write([block(2, 2 * MIB)], terms)
    assert read(other, block(1).digest), "nothing is removed for what does not fit all the same"
    one.directory.finish(begun)
    other.write([block(2, 2 * MIB)], terms)
    assert disk_usage(path) <= terms.limit


def test_a_write_that_fails_leaves_nothing(path):
    cache = shelf(path)
    cache.directory.files.fail(OSError(errno.EIO, "injected"), "write")
    with pytest.raises(OSError, match="injected"):
        cache.write([block(1)], TERMS)
    assert list((path / "extents").iterdir()) == []
    assert cache.directory.index.everything() == {}


def test_what_is_larger_than_the_limit_is_refused_and_removes_nothing(path):
    cache = shelf(path)
    cache.write([block(1)], TERMS)
    with pytest.raises(TooLargeError):
        cache.write([block(2, 3 * MIB)], Terms(limit=3 * MIB, spare=0))
    assert read(cache, block(1).digest)


def test_no_more_is_written_in_an_hour_than_may_be_by_all_together(path, monkeypatch):
    now = 1e9
    monkeypatch.setattr("mlxd.disk_cache.directory.time.time", lambda: now)
    terms = Terms(limit=64 * MIB, budget=MIB, spare=0)
    one, other = shelf(path), shelf(path, b"another model")
    one.write([block(1, 400_000)], terms)
    other.write([block(2, 400_000)], terms)
    for minutes in (1, 30, 59.9):
        now = 1e9 + 60 * minutes
        with pytest.raises(BudgetSpentError):
            one.write([block(3, 400_000)], terms)
    now = 1e9 + 60 * 61
    one.write([block(3, 400_000)], terms)
    assert one.catalogue.held().blocks == 2


def test_a_clock_that_was_set_back_stops_nothing(path, monkeypatch):
    terms = Terms(limit=64 * MIB, budget=MIB, spare=0)
    monkeypatch.setattr("mlxd.disk_cache.directory.time.time", lambda: 2e9)
    cache = shelf(path)
    cache.write([block(1, 900_000)], terms)
    monkeypatch.setattr("mlxd.disk_cache.directory.time.time", lambda: 1e9)
    cache.write([block(2, 900_000)], terms)


def test_space_for_others_is_left_on_the_disk(path):
    with pytest.raises(OSError, match="would be left free"):
        shelf(path).write([block(1)], Terms(limit=64 * MIB, spare=2**60))


def test_blocks_give_way_to_what_else_fills_the_disk(path):
    files = FaultyFiles()
    cache = shelf(path, files=files)
    for number in range(10):
        cache.write([block(number, 300_000)], TERMS)
    files.free = lambda _: 50 * MIB
    cache.shrink(Terms(limit=64 * MIB, spare=51 * MIB))
    assert [number for number in range(10) if cache.catalogue.known(names([block(number)]))] == [4, 5, 6, 7, 8, 9]
    files.free = lambda _: 10
    cache.write([block(11, 300_000)], Terms(limit=64 * MIB, spare=0))
    assert cache.catalogue.known(names([block(11)])) == 1
    assert cache.catalogue.held().blocks == 5


def test_what_another_process_writes_and_removes_is_learnt(path):
    one, other = shelf(path), shelf(path)
    one.write([block(1)], TERMS)
    other.look()
    assert same(read(other, block(1).digest), block(1))
    one.directory.prune()
    assert read(other, block(1).digest) is None
    other.look()
    assert other.catalogue.held().blocks == 0
    assert other.catalogue.held().size == 0


def test_a_model_s_blocks_are_pruned_and_others_stay(path):
    one, other = shelf(path, model="one"), shelf(path, b"another model", model="other")
    one.write([block(1), block(2)], TERMS)
    other.write([block(3)], TERMS)
    assert [(row.model, row.blocks) for row in one.directory.caches()] == [("other", 1), ("one", 2)]
    pruned = CacheDirectory.existing(path, FILES).prune("one")
    assert (pruned.extents, pruned.blocks) == (1, 2)
    assert [row.model for row in other.directory.caches()] == ["other"]


@pytest.mark.parametrize("size", [0, 300_000])
def test_a_process_killed_at_any_call_leaves_nothing_half(tmp_path, size):
    """For each call that a write makes: the process is killed there, and another one opens the directory."""
    at = 0
    while True:
        path = tmp_path / f"cache-{at}"
        shelf(path).write([block(1)], TERMS)
        files = FaultyFiles()
        cache = shelf(path, files=files)
        last = files.calls + at

        def kill(name, where, files=files, last=last):
            if files.calls > last:
                files.kill()

        files.before = kill
        try:
            cache.write([block(2, size), block(3, size)], TERMS)
        except KilledError:
            pass
        else:
            break
        again = shelf(path)
        assert same(read(again, block(1).digest), block(1))
        there = [read(again, block(number).digest) for number in (2, 3)]
        assert there == [None, None] or (same(there[0], block(2, size)) and same(there[1], block(3, size)))
        files_there = {int(found.stem) for found in (path / "extents").iterdir()}
        assert files_there == set(again.directory.index.everything())
        assert again.directory.size() >= disk_usage(path)
        at += 1
    assert at > 10


def test_what_a_living_process_is_writing_is_left_alone(path):
    one = shelf(path)
    begun = one.directory.begin(1, (b"name",), 1000, TERMS)
    shelf(path)
    assert one.directory.finish(begun) is not None
    one.look()
    assert one.catalogue.held().blocks == 1


def test_files_without_a_row_and_rows_without_a_file_are_dropped(path):
    cache = shelf(path)
    cache.write([block(1)], TERMS)
    cache.write([block(2)], TERMS)
    cache.directory.extent_path(1).unlink()
    cache.directory.extent_path(77).write_bytes(b"left over")
    again = shelf(path)
    assert [again.catalogue.known(names([block(number)])) for number in (1, 2)] == [0, 1]
    assert [found.name for found in (path / "extents").iterdir()] == ["2.extent"]


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 1000, None])
def test_an_index_that_is_damaged_is_begun_anew(path, damage):
    first = shelf(path)
    first.write([block(1)], TERMS)
    first.directory.close()
    index = path / "index.sqlite"
    if damage is None:
        data = bytearray(index.read_bytes())
        data[100 : len(data)] = bytes(len(data) - 100)
        damage = bytes(data)
    index.write_bytes(damage)
    again = shelf(path)
    assert again.catalogue.held().blocks == 0
    assert list((path / "extents").iterdir()) == []
    again.write([block(1)], TERMS)
    assert same(read(again, block(1).digest), block(1))


def test_who_has_an_index_open_that_was_begun_anew_notices(path):
    one = shelf(path)
    (path / "index.sqlite").unlink()
    shelf(path)
    with pytest.raises(UnusableDirectoryError, match="begun anew"):
        one.write([block(1)], TERMS)


def test_what_a_later_version_wrote_is_left_alone(path):
    shelf(path).directory.close()
    connection = sqlite3.connect(path / "index.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UnusableDirectoryError, match="later version"):
        CacheDirectory.create(path, FILES)
