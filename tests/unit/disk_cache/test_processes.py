"""Real processes on one directory, killed while they write."""

import os
import signal
import subprocess
import sys
import threading

from mlxd.disk_cache.extent import ExtentReader
from tests.support.faulty_files import disk_usage
from tests.unit.disk_cache.blocks import MIB, block, read, same, shelf

LIMIT = 8 * MIB
MODELS = ("one", "other")


def writer(path, model, first):
    """A process that has the directory open and has written something."""
    command = [sys.executable, "-m", "tests.unit.disk_cache.writer_process", str(path), model, str(LIMIT), str(first)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    assert process.stdout.readline()
    return process


def kill(process):
    """Kills it, and returns how far it said that it had come."""
    os.kill(process.pid, signal.SIGKILL)
    lines = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    return int(lines[-1]) if lines else 0


def all_of(cache):
    """Reads every block there is, and counts them."""
    count = 0
    for number in cache.directory.index.whole(cache._cache):
        reader = ExtentReader(cache.directory.files, cache.directory.extent_path(number), cache.identity)
        for digest in reader._places:
            assert same(reader.block(digest), block(int.from_bytes(digest, "big"), 150_000, seed=cache.identity.decode()))
            count += 1
        reader.close()
    return count


def test_the_limit_is_kept_and_nothing_half_is_found_however_writers_end(tmp_path):
    path, done = tmp_path / "cache", threading.Event()
    peak = 0

    def watch():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, disk_usage(path))
            done.wait(0.001)

    path.mkdir()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for round_ in range(4):
            processes = [writer(path, model, 1000 * round_) for model in MODELS]
            for process in processes:
                process.stdout.readline()
            for process in processes:
                kill(process)
            caches = [shelf(path, model.encode()) for model in MODELS]
            assert sum(map(all_of, caches)) > 0
            rows = caches[0].directory.index.everything()
            assert {int(found.stem) for found in (path / "extents").iterdir()} == set(rows)
            assert all(whole for whole, _ in rows.values())
            for cache in caches:
                cache.directory.close()
    finally:
        done.set()
        watcher.join()
    assert LIMIT // 2 < peak <= LIMIT


def test_what_a_killed_process_had_written_is_found_by_the_next(tmp_path):
    path = tmp_path / "cache"
    process = writer(path, "one", 0)
    kill(process)
    cache = shelf(path, b"one")
    assert all(same(read(cache, one.digest), one) for one in [block(number, 150_000, seed="one") for number in range(3)])
    cache.directory.close()
