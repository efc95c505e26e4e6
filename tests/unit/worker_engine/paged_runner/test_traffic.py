"""Requests of all kinds in any order."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mlxd.errors import CacheTooSmallError
from mlxd.types import FinishReason, Stopping
from tests.support.examples import examples
from tests.support.memory_tier import MemoryTier
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig
from tests.unit.worker_engine.simulated_executor import prompt_score
from tests.unit.worker_kv.media import spans


class Traffic(RuleBasedStateMachine):
    """Arrivals, aborts, faults, other limits and steps in any order, on pools of any size; prompts of few tokens, so that prefixes
    collide.
    """

    @initialize(
        blocks=st.integers(4, 20),
        arenas=st.integers(1, 3),
        max_sequences=st.integers(1, 6),
        step_tokens=st.integers(1, 24),
        ends_after=st.integers(4, 40),
        snapshots=st.none() | st.integers(1, 6),
        burst=st.sampled_from([None, 1, 2, 3]),
        late=st.none() | st.integers(0, 99),
        guesses=st.none() | st.integers(0, 99),
        tier=st.none() | st.builds(MemoryTier, room=st.integers(0, 40).map(lambda blocks: 8 * BLOCK * blocks), held=st.booleans()),
        windows=st.just(()) | st.lists(st.sampled_from([1, 3, 4, 6, 9, 17]), min_size=1, max_size=2, unique=True),
        window_blocks=st.integers(8, 20),
        block_bytes=st.just(()) | st.tuples(*[st.integers(1, 5)] * 3),
    )
    def start(self, *, burst, snapshots, guesses, tier, windows, **options):
        """``burst`` None: one step ahead, one token a step. Recurrent state cannot go back, so nothing is guessed there, and it is not
        kept on disk. Layers that see ``windows`` have room for one sequence at least, as in every cache.
        """
        guesses = guesses if snapshots is None and burst in {None, 1} else None
        self.tier = tier if snapshots is None else None
        self.rig = Rig(
            **options, snapshots=snapshots, guesses=guesses, ahead=burst is None, burst=burst or 1, tier=self.tier, windows=windows
        )
        self.aborted = set()
        self.faulty = set()
        self.names = 0

    @rule(
        prompt=st.lists(st.integers(1, 2), min_size=1, max_size=24),
        pictures=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6), st.sampled_from([b"cat", b"dog"])), max_size=2),
        max_tokens=st.integers(0, 12),
        priority=st.integers(-2, 2),
        prompt_logprobs=st.booleans(),
        stopping=st.builds(Stopping, ignore_end=st.booleans(), token_ids=st.lists(st.integers(1, 6), max_size=1)),
    )
    def arrive(self, prompt, pictures, max_tokens, priority, **asks):
        self.names += 1
        self.rig.add(str(self.names), prompt, max_tokens, media=spans(len(prompt), pictures), priority=priority, asks=asks)

    @rule(steps=st.integers(1, 5))
    def step(self, steps):
        for _ in range(steps):
            if not self.rig.runner.is_idle:
                self.rig.step()

    @precondition(lambda self: self.names > 0)
    @rule(data=st.data())
    def abort(self, data):
        name = str(data.draw(st.integers(1, self.names)))
        if name not in self.rig.ended and name not in self.rig.failed:
            self.aborted.add(name)
            self.rig.runner.abort(name)

    @precondition(lambda self: self.names > 0)
    @rule(data=st.data())
    def break_row(self, data):
        self.faulty.add(str(data.draw(st.integers(1, self.names))))
        self.rig.executor.faulty = self.faulty

    @rule(evicted=st.integers(0, 20))
    def give_back(self, evicted):
        self.rig.manager.pool.evict_cached(evicted)
        self.rig.runner.give_back()
        counts = self.rig.manager.counts()
        assert not self.rig.runner.is_idle or counts.total == counts.cached

    @rule(arenas=st.integers(1, 3), max_sequences=st.integers(1, 6), step_tokens=st.integers(1, 24))
    def reconfigure(self, arenas, max_sequences, step_tokens):
        size = arenas * self.rig.manager.pool.addresses.arena_blocks * BLOCK
        limits = msgspec.structs.replace(self.rig.limits, cache_bytes=size, max_sequences=max_sequences, step_tokens=step_tokens)
        self.rig.runner.reconfigure(limits)

    @rule(blocks=st.none() | st.integers(1, 8))
    def evict(self, blocks):
        """All, or the least recently used, and what lies idle then is given back."""
        if blocks is None:
            self.rig.runner.evict_cached()
        else:
            self.rig.manager.pool.evict_cached(blocks)
            self.rig.runner.reconfigure(self.rig.runner._limits)

    @precondition(lambda self: self.tier is not None)
    @rule()
    def read(self):
        self.tier.let_go()

    @precondition(lambda self: self.tier is not None and self.tier.blocks)
    @rule(data=st.data())
    def lose(self, data):
        """A block on disk is bad."""
        self.tier.lose(data.draw(st.sampled_from(sorted(self.tier.blocks))))

    @precondition(lambda self: self.tier is not None)
    @rule()
    def restart(self):
        """Another process begins with what the first one's disk holds; its memory is empty."""
        self.rig.run_reading()
        self.rig.runner.evict_cached()
        self.rig.settle()

    def teardown(self):
        if not hasattr(self, "rig"):
            return
        self.rig.run_reading()
        assert set(self.rig.ended) | set(self.rig.failed) | self.aborted == set(self.rig.requests)
        for name, error in self.rig.failed.items():
            assert isinstance(error, CacheTooSmallError) or name in self.faulty
        for name, reason in self.rig.ended.items():
            got, want = self.rig.tokens.get(name, []), self.rig.expected(name)
            assert got == want or (got == want[: len(got)] and reason is FinishReason.LENGTH)
            request = self.rig.requests[name]
            scores = [prompt_score(request.tokens, at) for at in range(1, len(request.tokens))]
            is_complete = name in self.rig.scored or got == want
            assert [token.logprob for token in self.rig.scored.get(name, ())] == (scores if request.prompt_logprobs and is_complete else [])
        assert self.rig.manager.counts().used == 0


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=examples(48), stateful_step_count=25, deadline=None)
