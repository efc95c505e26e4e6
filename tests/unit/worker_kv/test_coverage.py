"""What a second model has computed of a cache's blocks, whatever happens to them."""

import random

import pytest

from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.block_table import Run
from mlxd.worker.kv.coverage import Coverage
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.move import Move

BLOCK = 4
RUNS = (Run(2, 4), Run(9, 10))  # tokens 0 to 4 in block 2, then 3, then 9


def test_nothing_is_covered_before_it_is_computed():
    coverage = Coverage(BLOCK)
    assert coverage.covered(RUNS, 12) == 0
    coverage.add(RUNS, 0, 6)
    assert [coverage.covered(RUNS, tokens) for tokens in (3, 6, 12)] == [3, 6, 6]
    coverage.add(RUNS, 6, 11)
    assert coverage.covered(RUNS, 12) == 11


def test_what_is_overwritten_is_covered_no_more_nor_what_is_behind_it():
    coverage = Coverage(BLOCK)
    coverage.add(RUNS, 0, 12)
    coverage.overwrite(RUNS, 7, 9)
    assert coverage.covered(RUNS, 12) == 7
    coverage.add(RUNS, 7, 9)
    assert coverage.covered(RUNS, 12) == 9


def test_a_block_that_another_sequence_takes_over_begins_anew():
    coverage = Coverage(BLOCK)
    coverage.add(RUNS, 0, 12)
    coverage.overwrite((Run(9, 10),), 0, 1)
    assert coverage.covered((Run(9, 10),), 4) == 0
    assert coverage.covered(RUNS, 12) == 8


def test_it_goes_where_its_blocks_are_moved():
    coverage = Coverage(BLOCK)
    coverage.add(RUNS, 0, 10)
    coverage.overwrite((Run(30, 31),), 0, 4)
    coverage.move(Move((2, 3, 9), (20, 21, 22)))
    assert coverage.covered((Run(20, 23),), 12) == 10
    coverage.move(Move((30,), (20,)))
    assert coverage.covered((Run(20, 23),), 12) == 0


def test_a_gap_is_refused():
    coverage = Coverage(BLOCK)
    with pytest.raises(ValueError, match="block 2 has a gap before its token 1"):
        coverage.add(RUNS, 1, 3)


def test_after_a_fault_nothing_is_covered():
    coverage = Coverage(BLOCK)
    coverage.add(RUNS, 0, 12)
    coverage.clear()
    assert coverage.covered(RUNS, 12) == 0


class SecondModel:
    """Slots of the first model and of a second one, each with the tokens up to the one that it holds: what is covered must agree."""

    def __init__(self):
        self.coverage = Coverage(BLOCK)
        self.first, self.second = {}, {}

    def compute(self, runs, tokens, start):
        """The first model computes ``tokens`` from ``start`` on; returns how many of those before the second one has."""
        covered = self.coverage.covered(runs, start)
        self.coverage.overwrite(runs, start, len(tokens))
        self.write(self.first, runs, tokens, start, len(tokens))
        return covered

    def catch_up(self, runs, tokens, start, stop):
        self.coverage.add(runs, start, stop)
        self.write(self.second, runs, tokens, start, stop)

    def move(self, move):
        self.coverage.move(move)
        for source, target in zip(move.source, move.target, strict=True):
            for at in range(BLOCK):
                for slots in (self.first, self.second):
                    slots[target, at] = slots.get((source, at))

    def check(self, runs, tokens):
        blocks = [block for run in runs for block in run]
        for at in range(self.coverage.covered(runs, len(tokens))):
            place = blocks[at // BLOCK], at % BLOCK
            assert self.first[place] == self.second[place] == tuple(tokens[: at + 1])

    @staticmethod
    def write(slots, runs, tokens, start, stop):
        blocks = [block for run in runs for block in run]
        for at in range(start, stop):
            slots[blocks[at // BLOCK], at % BLOCK] = tuple(tokens[: at + 1])


def test_what_is_covered_was_computed_of_the_very_tokens_that_are_there():
    """Prompts that begin alike, guesses that are rejected, evictions, moves; the second model computes when it likes."""
    chance = random.Random(3)  # noqa: S311 - a test
    models, manager = SecondModel(), Manager(block_size=BLOCK, arena_blocks=8, capacity=24)
    seen, running = 0, {}
    for number in range(400):
        if len(running) < 4:
            name, tokens = str(number), [chance.randrange(2) for _ in range(chance.randrange(2, 14))]
            chain = BlockChain.of(EncodedPrompt(tokens, 1, CacheRoot(model="model")), BLOCK)
            found = manager.lookup(chain, tokens)
            if found.computing is None:
                manager.open(name, chain, found)
                running[name] = (tokens, found.cached_tokens)
        name = chance.choice(list(running))
        tokens, computed = running.pop(name)
        guesses = [chance.randrange(2) for _ in range(chance.randrange(4))]
        stop = len(tokens) + len(guesses)
        if chance.random() < 0.1 or not manager.reserve(name, stop):
            manager.close(name)
            continue
        runs = manager.runs(name)
        covered = models.compute(runs, [*tokens, *guesses], computed)
        manager.commit(name, tokens, len(tokens))
        if chance.random() < 0.6:
            upto = chance.randint(covered, len(tokens) + max(0, len(guesses) - 1))
            models.catch_up(runs, [*tokens, *guesses], covered, upto)
        tokens = [*tokens, *guesses[: chance.randint(0, len(guesses))], chance.randrange(2)]
        manager.rewind(name, len(tokens) - 1)
        move = manager.move_private(name) if chance.random() < 0.2 else None
        if move is not None:
            models.move(move)
        running[name] = (tokens, len(tokens) - 1)
        models.check(manager.runs(name), tokens[:-1])
        seen += models.coverage.covered(manager.runs(name), len(tokens) - 1)
    assert seen > 500


def test_of_blocks_that_came_from_elsewhere_nothing_is_covered():
    coverage, runs = Coverage(4), (Run(3, 6),)
    coverage.add(runs, 0, 12)
    coverage.forget([4, 9])
    assert coverage.covered(runs, 12) == 4
