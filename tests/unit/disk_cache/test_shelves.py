"""Two models, each with two processes, on one directory: beside a dictionary of what was written, and ``du``."""

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mlxd.disk_cache.directory import Terms, TooLargeError, UnusableDirectoryError
from tests.support.examples import examples
from tests.support.faulty_files import FaultyFiles, KilledError, disk_usage
from tests.unit.disk_cache.blocks import MIB, block, names, read, same, shelf

SEATS = st.integers(0, 3)  # two processes of each of two models
NUMBERS = st.integers(0, 40)
SIZES = st.sampled_from([0, 10, 5000, 200_000, 700_000])


class Shelves(RuleBasedStateMachine):
    """What is found is what was written, under any fault; without one, and within the limit, all of it is found."""

    @initialize()
    def begin(self):
        self.root = Path(tempfile.mkdtemp())
        self.path = self.root / "cache"
        self.limit = 6 * MIB
        self.written = ({}, {})  # of each model: digest -> block
        self.shelves = {}
        self.lossless = True
        self.total = 0
        for seat in range(4):
            self.open(seat)

    @rule(seat=SEATS)
    def open(self, seat):
        """A process ends, and another one takes its place; or the first one begins."""
        if seat in self.shelves:
            self.shelves[seat].directory.close()
        files = FaultyFiles()
        files.after = self.measure
        self.shelves[seat] = shelf(self.path, b"model %d" % (seat % 2), files)

    def measure(self):
        if self.path.exists():
            assert disk_usage(self.path) <= self.limit

    @rule(seat=SEATS, numbers=st.lists(NUMBERS, min_size=1, max_size=4, unique=True), size=SIZES)
    def write(self, seat, numbers, size):
        blocks = [block(number, size, seed=seat % 2) for number in numbers if not self.is_known(seat, number)]
        if not blocks:
            return
        try:
            self.shelves[seat].write(blocks, self.terms)
        except TooLargeError:
            return
        self.note(seat, blocks)
        assert self.shelves[seat].catalogue.known(names(blocks)) == len(blocks)

    def is_known(self, seat, number):
        return self.shelves[seat].catalogue.known(names([block(number, 0)])) == 1

    def note(self, seat, blocks):
        """Another size of a block may be there from before: either may be found."""
        for one in blocks:
            self.written[seat % 2].setdefault(one.digest, []).append(one)
        self.total += sum(one.size for one in blocks) + 20_000
        self.lossless &= self.total < self.limit - 3 * MIB

    @rule(seat=SEATS)
    def look(self, seat):
        self.shelves[seat].look()

    @rule(seat=SEATS, numbers=st.lists(NUMBERS, max_size=4))
    def use(self, seat, numbers):
        self.shelves[seat].catalogue.use(names([block(number, 0) for number in numbers]))

    @rule(limit=st.sampled_from([3 * MIB, 4 * MIB, 6 * MIB]))
    def change_limit(self, limit):
        self.lossless = False
        self.shelves[0].directory.shrink(Terms(limit=limit, spare=0))
        self.limit = limit

    @rule(seat=SEATS, keep=st.sampled_from([0, MIB]))
    def prune(self, seat, keep):
        self.lossless = False
        self.shelves[seat].directory.prune(keep=keep)

    @rule(seat=SEATS, after=st.integers(1, 25), numbers=st.lists(NUMBERS, min_size=1, max_size=3, unique=True), size=SIZES)
    def kill(self, seat, after, numbers, size):
        """A process is killed while it writes, or does not come so far; another one takes its place."""
        files = self.shelves[seat].directory.files
        last = files.calls + after

        def before(name, path):
            if files.calls >= last:
                files.kill()

        files.before = before
        blocks = [block(number, size, seed=seat % 2) for number in numbers]
        with contextlib.suppress(KilledError, TooLargeError):
            self.shelves[seat].write(blocks, self.terms)
        files.mend()
        if files.dead:
            self.shelves.pop(seat)
        self.note(seat, blocks)
        self.lossless = False
        self.open(seat)

    @rule(
        seat=SEATS,
        after=st.integers(1, 25),
        code=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EROFS]),
        numbers=st.lists(NUMBERS, min_size=1, max_size=3, unique=True),
        size=SIZES,
    )
    def fail(self, seat, after, code, numbers, size):
        """One call fails in the middle of a write; the process goes on with what is there."""
        files = self.shelves[seat].directory.files
        at = files.calls + after

        def before(name, path):
            if files.calls == at and path is not None:
                raise OSError(code, os.strerror(code), str(path))

        files.before = before
        blocks = [block(number, size, seed=seat % 2) for number in numbers]
        with contextlib.suppress(OSError, TooLargeError, UnusableDirectoryError):
            self.shelves[seat].write(blocks, self.terms)
        files.mend()
        self.note(seat, blocks)
        self.lossless = False

    @property
    def terms(self):
        return Terms(limit=self.limit, spare=0)

    @invariant()
    def what_is_found_is_what_was_written(self):
        for seat, one in getattr(self, "shelves", {}).items():
            for digest, versions in self.written[seat % 2].items():
                found = read(one, digest)
                assert found is None or any(same(found, version) for version in versions)

    @invariant()
    def without_faults_all_of_it_is_found(self):
        for seat, one in getattr(self, "shelves", {}).items():
            if self.lossless:
                one.look()
                assert one.catalogue.known(list(self.written[seat % 2])) == len(self.written[seat % 2])
                assert all(read(one, digest) for digest in self.written[seat % 2])

    @invariant()
    def the_books_are_right(self):
        if hasattr(self, "path"):
            self.measure()
            assert self.shelves[0].directory.size() >= disk_usage(self.path)

    def teardown(self):
        if hasattr(self, "root"):
            for one in self.shelves.values():
                one.directory.close()
            shutil.rmtree(self.root)


TestShelves = Shelves.TestCase
TestShelves.settings = settings(max_examples=examples(15), stateful_step_count=25, deadline=None)
