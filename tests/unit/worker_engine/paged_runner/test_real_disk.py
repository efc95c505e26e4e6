"""A real cache on disk behind a simulated device, which checks every block that a sequence reads: what happens to the disk is a hit with
what belongs there, or a miss.
"""

import errno
import os
import random
import shutil
import threading
import time

import pytest

from mlxd.disk_cache.disk_cache import DiskCache
from mlxd.disk_cache.identity import Identity
from mlxd.disk_cache.session import Pauses
from mlxd.disk_terms import DiskSettings, DiskState
from tests.support.faulty_files import FaultyFiles
from tests.support.patience import PATIENCE
from tests.unit.worker_engine.paged_runner.rig import Rig

CORRUPTIONS = int(os.environ.get("MLXD_CORRUPTIONS", "40"))
MIB = 2**20
PROMPTS = [[number, *range(10 * number, 10 * number + 40)] for number in range(1, 5)]
SOON = Pauses(first=0.01, longest=0.05, patience=5.0, looks=0.02)


class Fixed(Identity):
    """An identity that is known at once."""

    def __init__(self, name=b"weights"):
        self.name = name

    def digest(self, memory, beat):
        beat()
        return self.name


def opened(path, identity=b"weights", files=None):
    """A tier that has looked at what is there."""
    settings = DiskSettings(path=str(path), limit=64 * MIB)
    tier = DiskCache("tiny", Fixed(identity), settings, queue_bytes=MIB, files=files, pauses=SOON, spare=0)
    until(lambda: (figures := tier.figures()).state in {DiskState.ON, DiskState.READ_ONLY} or figures.errors)
    return tier


def until(come_true):
    end = time.monotonic() + PATIENCE
    while not come_true():
        assert time.monotonic() < end
        threading.Event().wait(0.001)


def served(rig, names):
    """All prompts, one after the other, as an engine has them computed: it waits for reads."""
    for name, prompt in names.items():
        rig.add(name, prompt, max_tokens=3)
        while not rig.runner.is_idle:
            rig.step()
            threading.Event().wait(rig.runner.rest or 0.0)
    assert rig.all_right(*names)


def served_and_written(tier):
    rig = Rig(blocks=128, tier=tier)
    served(rig, {f"{prompt[0]}": prompt for prompt in PROMPTS})
    rig.settle()
    rig.runner.close()
    return rig


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("disk") / "cache"
    served_and_written(opened(path))
    return path


def corrupt(path, chance):
    """One to three of what happens to files."""
    files = sorted(one for one in path.rglob("*") if one.is_file() and one.stat().st_size)
    for _ in range(chance.randint(1, 3)):
        one, other = chance.choice(files), chance.choice(files)
        data = bytearray(one.read_bytes())
        what = chance.choice(("flip", "flip", "cut", "swap", "zero", "empty"))
        if what == "flip" and data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif what == "cut":
            del data[chance.randrange(len(data) + 1) :]
        elif what == "zero":
            start = chance.randrange(len(data) + 1)
            data[start : start + 64] = bytes(len(data[start : start + 64]))
        elif what == "swap":
            data, kept = bytearray(other.read_bytes()), data
            other.write_bytes(kept)
        else:
            data.clear()
        one.write_bytes(data)


def test_whatever_happens_to_the_files_is_a_hit_with_what_belongs_there_or_a_miss(written, tmp_path):
    hits = 0
    for number in range(CORRUPTIONS):
        chance, path = random.Random(number), tmp_path / "cache"  # noqa: S311 - reproducible on purpose
        shutil.copytree(written, path)
        corrupt(path, chance)
        tier = opened(path)
        rig = Rig(blocks=128, tier=tier)
        served(rig, {f"{number} {prompt[0]}": prompt for prompt in PROMPTS})
        tier.close()
        hits += sum(started.disk_tokens > 0 for started in rig.started.values())
        shutil.rmtree(path)
    assert 0 < hits < CORRUPTIONS * len(PROMPTS)


def test_all_is_found_where_nothing_happened(written, tmp_path):
    shutil.copytree(written, tmp_path / "cache")
    rig = Rig(blocks=128, tier=(tier := opened(tmp_path / "cache")))
    served(rig, {f"{prompt[0]}": prompt for prompt in PROMPTS})
    tier.close()
    assert {started.disk_tokens for started in rig.started.values()} == {40}


def test_nothing_is_found_of_other_weights(written, tmp_path):
    shutil.copytree(written, tmp_path / "cache")
    rig = Rig(blocks=128, tier=(tier := opened(tmp_path / "cache", b"others")))
    served(rig, {f"{prompt[0]}": prompt for prompt in PROMPTS})
    tier.close()
    assert {started.disk_tokens for started in rig.started.values()} == {0}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_no_request_notices_a_disk_that_fails_in_the_middle(tmp_path, error):
    files = FaultyFiles()
    tier = opened(tmp_path / "cache", files=files)
    rig = Rig(blocks=24, tier=tier)
    served(rig, {"first": PROMPTS[0], "second": PROMPTS[1]})
    files.fail(OSError(error, os.strerror(error)))
    served(rig, {"third": PROMPTS[2], "fourth": PROMPTS[3], "first again": PROMPTS[0]})
    files.mend()
    until(lambda: tier.figures().state is DiskState.ON)
    served(rig, {"second again": PROMPTS[1]})
    tier.close()
