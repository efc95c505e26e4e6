"""Streams that come and go for a long time in a pool that is full of what may be needed again: a daemon that has run for days."""

import random
import statistics

from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.manager import Manager

ROOT = CacheRoot(model="model")
MANY_RUNS = 2


class AgedPool:
    """``streams`` at once, each with a prompt and an answer of a length in the ranges; whoever ends is followed by another."""

    def __init__(self, *, arena_blocks=256, max_arenas=16, streams=16, prompts=(100, 1500), answers=(50, 600), shared=0.0, spare=0, seed=1):
        self.chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self.manager = Manager(block_size=16, arena_blocks=arena_blocks, capacity=max_arenas * arena_blocks, spare=spare)
        self.streams, self.prompts, self.answers, self.shared = streams, prompts, answers, shared
        self.system = self._words(500)
        self.chain = BlockChain.of(EncodedPrompt(self.system, 1, ROOT), 16)
        self.live, self.ends, self.compact_at = {}, {}, {}
        self.started = self.moves = self.moved = self.refused = 0

    def step(self):
        while len(self.live) < self.streams and self._start():
            pass
        for name in list(self.live):
            self._decode(name)
        self._compact()

    def runs(self):
        return [len(self.manager.runs(name)) for name in self.live]

    def knows_the_system_prompt(self):
        return self.manager.lookup(self.chain, self.system).cached_tokens > 0.9 * len(self.system)

    def _words(self, count):
        return self.chance.choices(range(50_000), k=count)

    def _start(self):
        self.started += 1
        name = f"s{self.started}"
        beginning = self.system if self.chance.random() < self.shared else []
        tokens = beginning + self._words(self.chance.randrange(*self.prompts))
        chain = BlockChain.of(EncodedPrompt(tokens, 1, ROOT), 16)
        self.manager.open(name, chain, self.manager.lookup(chain, tokens))
        if not self.manager.reserve(name, len(tokens) + 1):
            self.manager.close(name)
            return False
        self.manager.commit(name, tokens, len(tokens))
        self.live[name], self.ends[name] = tokens, len(tokens) + self.chance.randrange(*self.answers)
        return True

    def _decode(self, name):
        tokens = self.live[name]
        tokens.append(self.chance.randrange(50_000))
        if len(tokens) >= self.ends[name] or not self.manager.reserve(name, len(tokens) + 1, growing=True):
            self.manager.close(name)
            del self.live[name]
            return
        self.manager.commit(name, tokens, len(tokens) - 1)

    def _compact(self):
        """As the scheduler does."""
        for name in self.live:
            runs = len(self.manager.runs(name))
            if runs <= max(MANY_RUNS, self.compact_at.get(name, 0)):
                continue
            move = self.manager.move_private(name)
            self.compact_at[name] = runs + 1 if move is None else 0
            self.refused += move is None
            if move is not None:
                self.moves += 1
                self.moved += len(move.source)
                return


def age(pool, *, steps, every=25):
    """Runs of every stream at every so many steps, sorted; integrity is checked now and then."""
    found = []
    for step in range(steps):
        pool.step()
        if step % 500 == 0:
            pool.manager.check_integrity()
        if step % every == 0:
            found += pool.runs()
    return sorted(found)


def median(runs):
    return statistics.median(runs)


def p95(runs):
    return runs[int(0.95 * (len(runs) - 1))]
