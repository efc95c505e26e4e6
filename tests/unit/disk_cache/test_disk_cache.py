"""The cache on disk as its engine sees it: nobody waits, what fails is told and tried again."""

import errno
import sqlite3
import threading
import time

import pytest

from mlxd.disk_cache.disk_cache import DiskCache
from mlxd.disk_cache.identity import Identity
from mlxd.disk_cache.session import Pauses, Session
from mlxd.disk_terms import DiskDrop, DiskError, DiskSettings, DiskState
from tests.support.faulty_files import FaultyFiles, sqlite_error
from tests.support.patience import PATIENCE
from tests.unit.disk_cache.blocks import MIB, block, names, same

BLOCKS = [block(number) for number in range(6)]
NAMES = names(BLOCKS)
SOON = Pauses(first=0.01, longest=0.05, patience=0.2, looks=0.02)
FULL = OSError(errno.ENOSPC, "No space left on device")


class Fixed(Identity):
    """An identity that is known at once."""

    def digest(self, memory, beat):
        beat()
        return b"weights"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def files():
    files = FaultyFiles()
    yield files
    files.mend()
    files.go_on()


@pytest.fixture
def cache(path, files):
    with_cache = DiskCache("tiny", Fixed(), settings(path), queue_bytes=MIB, files=files, pauses=SOON, spare=0)
    until(lambda: with_cache.figures().state is DiskState.ON)
    yield with_cache
    files.go_on()
    with_cache.close()


def settings(path, limit=64 * MIB, budget=None):
    return DiskSettings(path=str(path), limit=limit, write_budget=budget)


def until(come_true):
    end = time.monotonic() + PATIENCE
    while not come_true():
        assert time.monotonic() < end
        threading.Event().wait(0.002)


def comes_to(cache, state):
    until(lambda: cache.figures().state is state)
    return cache.figures()


def found(cache, digests=NAMES):
    return cache.read(digests).result(PATIENCE)


def store(cache, blocks=BLOCKS):
    assert cache.write(blocks) == len(blocks)
    assert cache.settle(PATIENCE)


def test_what_is_written_is_found_also_after_a_restart(path, cache):
    store(cache)
    assert cache.known(NAMES) == 6
    assert all(map(same, found(cache), BLOCKS))
    cache.close()
    again = DiskCache("tiny", Fixed(), settings(path), queue_bytes=MIB, spare=0)
    until(lambda: again.known(NAMES) == 6)
    assert all(map(same, found(again), BLOCKS))
    again.close()


def test_a_worker_that_begins_waits_until_it_is_known_what_is_stored(path, files, cache):
    store(cache)
    cache.close()
    files.hang()
    again = DiskCache("tiny", Fixed(), settings(path), queue_bytes=MIB, files=files, pauses=Pauses(patience=PATIENCE), spare=0)
    assert not again.wait_until_open(0.01)
    assert again.known(NAMES) == 0
    threading.Timer(0.05, files.go_on).start()
    assert again.wait_until_open(PATIENCE)
    assert again.known(NAMES) == 6
    again.close()


def test_nobody_waits_for_what_cannot_be_opened_or_is_not_wanted(path, files):
    files.fail(OSError(errno.EACCES, "Permission denied"))
    refused = DiskCache("tiny", Fixed(), settings(path), queue_bytes=MIB, files=files, pauses=Pauses(), spare=0)
    assert refused.wait_until_open(PATIENCE)
    assert refused.figures().state is DiskState.OFF
    refused.reconfigure(None)
    assert refused.wait_until_open(PATIENCE)
    refused.close()
    assert refused.wait_until_open(PATIENCE)


def test_it_tells_what_it_did(cache):
    store(cache)
    found(cache)
    figures = cache.figures()
    assert (figures.blocks, figures.written_blocks, figures.read_blocks, figures.queued_bytes) == (6, 6, 6, 0)
    assert figures.read_bytes == 6000
    assert 6000 < figures.bytes < figures.directory_bytes <= figures.limit_bytes == 64 * MIB


def test_what_is_stored_is_not_written_again(cache):
    store(cache)
    store(cache)
    assert cache.figures().written_blocks == 6


def test_off_is_off_and_on_is_on_without_a_restart(path):
    cache = DiskCache("tiny", Fixed(), None, queue_bytes=MIB, spare=0)
    assert (cache.room(), cache.write(BLOCKS), cache.known(NAMES), found(cache)) == (0, 0, 0, ())
    assert cache.figures().reason == "it is not configured"
    assert not path.exists()
    cache.reconfigure(settings(path))
    comes_to(cache, DiskState.ON)
    store(cache)
    cache.reconfigure(None)
    assert comes_to(cache, DiskState.OFF).blocks == 0
    assert cache.known(NAMES) == 0
    cache.reconfigure(settings(path))
    until(lambda: cache.known(NAMES) == 6)
    cache.close()


def test_another_path_is_another_cache(tmp_path, cache):
    store(cache)
    cache.reconfigure(settings(tmp_path / "other"))
    until(lambda: cache.known(NAMES) == 0 and cache.figures().state is DiskState.ON)
    assert (tmp_path / "other" / "index.sqlite").exists()


def test_a_lower_limit_is_taken_over_live(path, cache):
    for number in range(20):
        store(cache, [block(number, 300_000)])
    cache.reconfigure(settings(path, limit=3 * MIB))
    until(lambda: cache.figures().directory_bytes <= 3 * MIB and cache.figures().blocks < 20)
    assert cache.figures().blocks > 0


def test_what_does_not_fit_the_queue_is_dropped_and_nobody_waits(cache, files):
    files.hang()
    big = [block(number, 300_000) for number in range(10)]
    assert cache.room() == MIB
    taken = cache.write(big)
    assert taken == 3
    assert cache.room() == MIB - 900_000
    assert cache.write(big[3:]) == 0
    assert cache.figures().queued_bytes == 900_000
    assert cache.figures().dropped_blocks == {DiskDrop.QUEUE: 14}


def test_a_budget_that_is_spent_stops_writing_and_not_reading(path, cache):
    store(cache)
    cache.reconfigure(settings(path, budget=10))
    more = [block(100)]
    until(lambda: cache.write(more) == 1 and cache.settle(PATIENCE) and DiskDrop.BUDGET in cache.figures().dropped_blocks)
    assert cache.room() == 0
    assert cache.write(more) == 0
    assert len(found(cache)) == 6
    cache.reconfigure(settings(path))
    until(cache.room)
    store(cache, more)


@pytest.mark.parametrize("error", [FULL, OSError(errno.EROFS, "Read-only file system"), OSError(errno.EDQUOT, "Disk quota exceeded")])
def test_on_a_full_disk_it_reads_on_and_writes_again_when_there_is_room(cache, files, error):
    store(cache)
    files.fail(error, "create", "write")
    cache.write([block(100)])
    figures = comes_to(cache, DiskState.READ_ONLY)
    assert figures.reason == error.strerror
    assert figures.errors[DiskError.WRITE] >= 1
    assert (cache.room(), cache.write([block(101)])) == (0, 0)
    assert all(map(same, found(cache), BLOCKS))
    files.mend()
    comes_to(cache, DiskState.ON)
    store(cache, [block(100)])
    assert cache.figures().reason == ""


def test_sqlite_that_finds_the_disk_full_is_a_full_disk(cache, files):
    store(cache)
    files.fail(sqlite_error(sqlite3.SQLITE_FULL), "COMMIT")
    cache.write([block(100)])
    comes_to(cache, DiskState.READ_ONLY)
    assert len(found(cache)) == 6
    files.mend()
    comes_to(cache, DiskState.ON)


def test_a_lower_limit_makes_room_on_a_full_disk(path, cache, files):
    for number in range(20):
        store(cache, [block(number, 300_000)])
    files.fail(FULL, "create", "write")
    cache.write([block(100)])
    comes_to(cache, DiskState.READ_ONLY)
    cache.reconfigure(settings(path, limit=3 * MIB))
    until(lambda: cache.figures().directory_bytes <= 3 * MIB)


def test_an_index_in_use_elsewhere_costs_one_batch_only(cache, files):
    store(cache)
    files.fail(sqlite_error(sqlite3.SQLITE_BUSY), "BEGIN")
    cache.write([block(100)])
    assert cache.settle(PATIENCE)
    assert cache.figures().state is DiskState.ON
    files.mend()
    store(cache, [block(100)])


@pytest.mark.parametrize("name", ["write", "create", "status"])
def test_a_disk_that_fails_is_off_with_a_reason_and_on_again(cache, files, name):
    store(cache)
    files.fail(OSError(errno.EIO, "Input/output error", "/cache"), name)
    cache.write([block(100)])
    figures = comes_to(cache, DiskState.OFF)
    assert figures.reason == "/cache: Input/output error"
    assert (cache.known(NAMES), cache.room(), found(cache)) == (0, 0, ())
    files.mend()
    comes_to(cache, DiskState.ON)
    assert all(map(same, found(cache), BLOCKS))
    store(cache, [block(100)])


def test_what_cannot_be_read_is_missing_and_never_asked_for_again(cache, files):
    store(cache)
    files.fail(OSError(errno.EIO, "Input/output error"), "read")
    assert found(cache) == ()
    comes_to(cache, DiskState.OFF)
    files.mend()
    comes_to(cache, DiskState.ON)
    until(lambda: cache.known(NAMES) == 0)
    assert cache.figures().errors[DiskError.READ] == 1
    store(cache)
    assert len(found(cache)) == 6


def test_a_directory_that_is_removed_is_noticed_and_made_anew(path, cache):
    store(cache)
    path.rename(path.with_name("elsewhere"))
    assert found(cache) == ()
    comes_to(cache, DiskState.ON)
    until(lambda: cache.known(NAMES) == 0)
    until((path / "index.sqlite").exists)
    until(lambda: cache.figures().state is DiskState.ON)
    store(cache)
    assert len(found(cache)) == 6


def test_a_drive_that_is_unplugged_is_missed_and_comes_back_with_what_it_held(tmp_path, files):
    drive = tmp_path / "drive"
    drive.mkdir()
    cache = DiskCache("tiny", Fixed(), settings(drive / "cache"), queue_bytes=MIB, files=files, pauses=SOON, spare=0)
    comes_to(cache, DiskState.ON)
    store(cache)
    drive.rename(tmp_path / "unplugged")
    cache.write([block(100)])
    figures = comes_to(cache, DiskState.OFF)
    until(lambda: "is its disk mounted?" in cache.figures().reason)
    assert not drive.exists(), f"nothing is made where the drive was: {figures}"
    (tmp_path / "unplugged").rename(drive)
    comes_to(cache, DiskState.ON)
    assert all(map(same, found(cache), BLOCKS))
    cache.close()


def test_a_mount_point_without_its_disk_is_not_filled(path, cache, files, monkeypatch):
    store(cache)
    monkeypatch.setattr("mlxd.disk_cache.session.Session._check_device", _on_another_disk())
    files.fail(OSError(errno.EIO, "Input/output error"), "status")
    cache.write([block(100)])
    comes_to(cache, DiskState.OFF)
    files.mend()
    until(lambda: "on another disk than before" in cache.figures().reason)
    cache.reconfigure(settings(path))
    comes_to(cache, DiskState.ON)


def _on_another_disk():
    real = Session._check_device
    return lambda session, device: real(session, device + 1)


def test_a_disk_that_does_not_answer_holds_up_nobody(cache, files):
    store(cache)
    files.hang()
    asked = cache.read(NAMES)
    cache.write([block(100)])
    assert cache.known(NAMES) == 6, "nobody knows better yet"
    assert asked.result(PATIENCE) == ()
    assert comes_to(cache, DiskState.OFF).reason == "the disk does not answer"
    assert (cache.room(), cache.known(NAMES), found(cache)) == (0, 0, ())
    before = threading.active_count()
    threading.Event().wait(0.3)
    assert threading.active_count() <= before, "no thread is started beside those that hang"
    files.go_on()
    comes_to(cache, DiskState.ON)
    assert len(found(cache)) == 6


def test_the_end_does_not_wait_for_a_disk_that_does_not_answer(cache, files):
    files.hang()
    asked = cache.read(NAMES)
    cache.write(BLOCKS)
    cache.close()
    assert asked.result(PATIENCE) == ()


def test_a_block_that_was_changed_is_missed_and_its_file_removed(path, cache):
    store(cache)
    (extent,) = (path / "extents").iterdir()
    data = bytearray(extent.read_bytes())
    data[-200] ^= 4
    extent.write_bytes(data)
    assert all(map(same, found(cache), BLOCKS[:5]))
    assert cache.figures().errors == {DiskError.CORRUPT: 1}
    assert cache.known(NAMES) == 0
    until(lambda: not list((path / "extents").iterdir()))


def test_an_index_that_turns_out_damaged_is_begun_anew(path, cache, files):
    store(cache)
    files.fail(sqlite_error(sqlite3.SQLITE_CORRUPT), "BEGIN")
    cache.write([block(100)])
    comes_to(cache, DiskState.OFF)
    files.mend()
    comes_to(cache, DiskState.ON)
    assert cache.known(NAMES) == 0
    store(cache)
    assert len(found(cache)) == 6


def test_a_place_that_cannot_be_is_told_and_another_one_taken_over(tmp_path):
    (tmp_path / "file").touch()
    cache = DiskCache("tiny", Fixed(), settings(tmp_path / "file"), queue_bytes=MIB, spare=0)
    until(lambda: "is not a directory" in cache.figures().reason)
    cache.reconfigure(settings(tmp_path / "cache"))
    comes_to(cache, DiskState.ON)
    cache.close()


def test_a_read_that_is_cancelled_is_not_done(cache, files):
    store(cache)
    files.hang()
    first, second = cache.read(NAMES), cache.read(NAMES)
    assert second.cancel()
    files.go_on()
    assert len(first.result(PATIENCE)) == 6
    assert cache.figures().read_blocks == 6


def test_two_caches_on_one_directory_share_what_they_hold(path, cache):
    other = DiskCache("tiny", Fixed(), settings(path), queue_bytes=MIB, spare=0)
    comes_to(other, DiskState.ON)
    store(cache)
    until(lambda: other.known(NAMES) == 6)
    assert all(map(same, found(other), BLOCKS))
    other.close()
