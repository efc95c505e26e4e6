"""Requests with pictures of all kinds in any order."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mlxd.cache_terms import CacheQuota
from mlxd.errors import CacheTooSmallError, UnsupportedParameterError
from mlxd.media_terms import MediaKind
from mlxd.types import FinishReason, Restraint
from tests.support.examples import examples
from tests.support.memory_tier import MemoryTier
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig, embeddings_of
from tests.unit.worker_engine.pictures import Picture
from tests.unit.worker_engine.seeing_executor import EMBEDDING_BYTES, Sight

ROWS = st.builds(
    Picture,
    number=st.integers(0, 2),
    rows=st.integers(1, 3),
    columns=st.integers(1, 6),
    kind=st.sampled_from(MediaKind),
)
WHOLE = st.builds(Picture, number=st.integers(0, 2), columns=st.integers(1, 14), is_mutual=st.just(True))
PARTS = st.lists(st.integers(1, 2) | ROWS | WHOLE, min_size=1, max_size=12)


FAULTS = ("the device failed", "it cannot be encoded")


class Sights(RuleBasedStateMachine):
    """Arrivals, aborts, faults, restraint, other limits and steps in any order; words and pictures of which there are few, so that
    prefixes collide. The device checks that what a chunk shows is there, and is not cut; and that nothing is encoded that is there.
    """

    @initialize(
        blocks=st.integers(6, 24),
        arenas=st.integers(1, 3),
        max_sequences=st.integers(1, 6),
        step_tokens=st.none() | st.integers(1, 24),
        ends_after=st.integers(4, 60),
        snapshots=st.none() | st.integers(1, 6),
        ahead=st.booleans(),
        late=st.none() | st.integers(0, 99),
        guesses=st.none() | st.integers(0, 99),
        tier=st.none() | st.builds(MemoryTier, room=st.integers(0, 40).map(lambda blocks: 8 * BLOCK * blocks), held=st.booleans()),
        windows=st.just(()) | st.lists(st.sampled_from([1, 4, 9]), min_size=1, max_size=2, unique=True),
        window_blocks=st.integers(8, 20),
        block_bytes=st.just(()) | st.tuples(*[st.integers(1, 5)] * 3),
        embeddings=st.integers(0, 30),
        sight=st.builds(Sight, each=st.sampled_from([0.01, 0.3, 2.0]), block=st.sampled_from([0.01, 0.2])),
    )
    def start(self, *, snapshots, guesses, tier, **options):
        """Recurrent state cannot go back, so nothing is guessed there, and it is not kept on disk."""
        self.tier = tier if snapshots is None else None
        self.rig = Rig(**options, snapshots=snapshots, guesses=guesses if snapshots is None else None, tier=self.tier)
        self.kept = options["embeddings"] * EMBEDDING_BYTES
        self.aborted, self.broken, self.names = set(), set(), 0

    @rule(
        parts=PARTS,
        max_tokens=st.integers(0, 12),
        priority=st.integers(-2, 2),
        prompt_logprobs=st.booleans(),
        holder=st.sampled_from(["", "a", "b"]),
    )
    def arrive(self, parts, max_tokens, priority, **asks):
        self.names += 1
        name = str(self.names)
        try:
            self.rig.show(name, parts, max_tokens, priority=priority, asks=asks)
        except UnsupportedParameterError as error:
            assert any(isinstance(part, Picture) and part.is_mutual for part in parts)
            self.rig.failed[name] = error

    @rule(steps=st.integers(1, 3))
    def step(self, steps):
        for _ in range(steps):
            if not self.rig.runner.is_idle:
                self.rig.step()
                self.check()

    @precondition(lambda self: self.names > 0)
    @rule(data=st.data())
    def abort(self, data):
        name = str(data.draw(st.integers(1, self.names)))
        if name not in self.rig.ended and name not in self.rig.failed:
            self.aborted.add(name)
            self.rig.runner.abort(name)

    @rule(picture=ROWS | WHOLE)
    def break_picture(self, picture):
        self.broken.add(picture.content)
        self.rig.executor.sight.broken.add(picture.content)

    @rule()
    def mend(self):
        self.rig.executor.sight.broken.clear()

    @rule(chance=st.integers(1, 8))
    def fail(self, chance):
        """One of the next launches raises."""
        executor = self.rig.executor
        executor.fail_at = {executor.launches + chance}

    @rule(
        embeddings=st.integers(0, 30),
        buffer_share=st.sampled_from([1.0, 0.25]),
        cache_share=st.sampled_from([1.0, 0.5]),
        quota=st.sampled_from([0.0, 0.3]),
    )
    def restrain(self, embeddings, buffer_share, cache_share, quota):
        beside = msgspec.structs.replace(self.rig.limits, cache_bytes=self.rig.limits.beside_media.cache_bytes)
        restraint = Restraint(buffer_share=buffer_share, cache_share=cache_share)
        quotas = (CacheQuota(holder="a", fraction=quota),) if quota else ()
        limits = msgspec.structs.replace(beside, restraint=restraint, quotas=quotas, **embeddings_of(beside, embeddings))
        self.kept = embeddings * EMBEDDING_BYTES if buffer_share == 1.0 else 0
        self.rig.runner.reconfigure(limits)

    @rule()
    def evict(self):
        self.rig.runner.evict_cached()

    @precondition(lambda self: self.tier is not None)
    @rule()
    def read(self):
        self.tier.let_go()

    def check(self):
        """What the scheduler thinks is there is; what is under way is known to somebody, and what nobody needs is within the limit."""
        seeing, executor = self.rig.scheduler.seeing, self.rig.executor
        held = {content: size for content, size in executor.held.items() if content not in seeing._dropped}
        assert held == seeing._embeddings._sizes
        assert self.rig.runner.cache().media.bytes == sum(held.values())
        assert set(executor.left) == set(seeing._begun)
        known = {content for request in self.rig.scheduler._sequences.known.values() for content in request.media.inputs}
        assert set(seeing._askers) == known
        assert set(seeing._for_whom) <= known

    def teardown(self):
        if not hasattr(self, "rig"):
            return
        self.rig.run_reading()
        assert set(self.rig.ended) | set(self.rig.failed) | self.aborted == set(self.rig.requests)
        for name, error in self.rig.failed.items():
            assert isinstance(error, CacheTooSmallError | UnsupportedParameterError) or error.message.endswith(FAULTS), error
            is_broken = any(one.content in self.broken for one in self.rig.requests[name].prompt.inputs)
            assert is_broken or not error.message.endswith("cannot be encoded")
        for name, reason in self.rig.ended.items():
            got, want = self.rig.tokens.get(name, []), self.rig.expected(name)
            assert got == want or (got == want[: len(got)] and reason is FinishReason.LENGTH)
        assert self.rig.manager.counts().used == 0
        self.rig.runner.give_back()
        assert not self.rig.executor.left
        assert sum(self.rig.executor.held.values()) <= self.kept
        assert not self.rig.scheduler.seeing._askers
        self.check()


TestSights = Sights.TestCase
TestSights.settings = settings(max_examples=examples(48), stateful_step_count=25, deadline=None)
