"""The manager, as the scheduler uses it; then against a model that remembers what every block should hold."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlxd.types import CacheOutcome
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.kv import free_extents
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.state_snapshots import StateSnapshots
from tests.support.examples import examples

ROOT = CacheRoot(model="model")
BLOCK = 4


def manager(max_arenas=4, snapshots=None):
    return Manager(block_size=BLOCK, arena_blocks=8, capacity=8 * max_arenas, snapshots=snapshots)


def chain_of(prompt, media=()):
    return BlockChain.of(EncodedPrompt(prompt, 1, ROOT, tuple(media)), BLOCK)


def look(made, prompt, media=()):
    return made.lookup(chain_of(prompt, media), prompt)


def begin(made, name, prompt, media=()):
    """Admit; what the cache gave it."""
    chain = chain_of(prompt, media)
    lookup = made.lookup(chain, prompt)
    made.open(name, chain, lookup)
    return lookup


def run(made, name, prompt, media=()):
    """Admit, compute and commit a whole prompt; what the cache gave it."""
    lookup = begin(made, name, prompt, media)
    assert made.reserve(name, len(prompt))
    made.commit(name, prompt, len(prompt))
    return lookup


def test_the_same_prompt_again_is_a_hit_that_leaves_the_last_token_to_compute():
    made = manager()
    prompt = list(range(12))  # a multiple of the block size: the last block must not be taken whole
    assert run(made, "a", prompt).outcome is CacheOutcome.MISS
    again = run(made, "b", prompt)
    assert again.outcome is CacheOutcome.HIT
    assert again.cached_tokens == 8


def test_the_same_tokens_after_another_beginning_are_another_entry():
    made = manager()
    run(made, "a", [9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8])
    assert run(made, "b", [1, 2, 3, 4, 5, 6, 7, 8, 0]).outcome is CacheOutcome.MISS


def test_shared_blocks_are_the_same_blocks():
    made = manager()
    system = list(range(16))
    for number in range(10):
        run(made, str(number), [*system, 100 + number])
    counts = made.counts()
    assert counts.used == 4 + 10
    assert counts.shared == 4
    assert counts.references == 10 * 5


def test_a_block_is_findable_while_the_prompt_is_still_being_computed():
    made = manager()
    prompt = list(range(20))
    begin(made, "a", prompt)
    made.reserve("a", 20)
    made.commit("a", prompt, 8)
    found = look(made, prompt)
    assert found.cached_tokens == 8
    assert made.is_computing(found.computing)
    made.close("a")
    assert look(made, prompt).computing is None
    assert not made.is_computing(found.computing)


def test_the_last_block_that_is_shared_and_being_computed_is_waited_for():
    made = manager()
    prompt = list(range(20))
    begin(made, "a", prompt)
    made.reserve("a", 20)
    awaited = look(made, [*prompt[:14], 99, 98]).computing
    made.commit("a", prompt, 8)
    assert made.is_computing(awaited)
    made.commit("a", prompt, 12)
    assert not made.is_computing(awaited)
    found = look(made, [*prompt[:14], 99, 98])
    assert (found.cached_tokens, found.computing) == (12, None)


def test_generated_tokens_are_found_by_the_next_turn():
    made = manager()
    run(made, "a", list(range(6)))
    assert made.reserve("a", 10, growing=True)
    made.commit("a", list(range(10)), 10)
    made.close("a")
    assert look(made, [*range(10), 77]).cached_tokens == 8


def test_growth_keeps_side_by_side_sequences_in_few_runs():
    made = manager()
    for name in "ab":
        run(made, name, [ord(name), 1, 2])
    for length in range(4, 33):
        for name in "ab":
            assert made.reserve(name, length, growing=True)
    assert all(len(made.runs(name)) <= 3 for name in "ab")


@pytest.fixture
def interleaved(monkeypatch):
    """Two sequences, of eight blocks each, in many runs: as where no gaps could be left between them."""
    monkeypatch.setattr(free_extents, "GAP", 0)
    made = manager()
    for name in "ab":
        run(made, name, [ord(name), 1, 2])
    for length in range(4, 33):
        for name in "ab":
            assert made.reserve(name, length)  # without growing ahead
    assert len(made.runs("a")) > 2
    return made


def test_blocks_that_nobody_shares_can_be_moved_together(interleaved):
    made = interleaved
    before = [block for run in made.runs("a") for block in run]
    move = made.move_private("a")
    assert list(move.source) == before[-len(move.source) :]
    assert [block for run in made.runs("a") for block in run][-len(move.target) :] == list(move.target)
    assert len(made.runs("a")) <= 2
    made.check_integrity()


def test_moved_blocks_are_found_at_their_new_place(interleaved):
    made = interleaved
    tokens = [ord("a"), 1, 2, *range(29)]
    made.commit("a", tokens, 32)
    move = made.move_private("a")
    found = look(made, [*tokens, 7])
    assert found.cached_tokens == 32
    assert set(move.target) <= set(found.blocks)


def test_only_the_end_is_moved_at_a_time_and_shared_blocks_never(interleaved):
    made = interleaved
    assert len(made.move_private("a", most=3).source) == 3
    made = manager()
    shared = list(range(32))
    for name in "ab":
        run(made, name, [*shared, ord(name)])
    assert made.move_private("b") is None  # one block of its own


def test_nothing_is_moved_for_no_gain_and_nothing_is_lost_by_trying():
    made = manager()
    run(made, "a", list(range(30)))
    before = made.runs("a")
    assert made.move_private("a") is None
    assert made.runs("a") == before
    made.check_integrity()


# ---- models with recurrent state ----


def compute(made, name, tokens, *stops):
    """Compute up to each of ``stops``, as the scheduler does: with a snapshot where a block ends."""
    for stop in stops:
        assert made.reserve(name, stop)
        made.plan_snapshot(name, stop)
        made.commit(name, tokens, stop)


def test_with_recurrent_state_a_hit_reaches_back_to_the_deepest_snapshot():
    made = manager(snapshots=StateSnapshots(8))
    prompt = list(range(15))
    begin(made, "a", prompt)
    compute(made, "a", prompt, 7, 8, 15)  # only at 8 does a chunk end with a block
    made.close("a")
    found = look(made, [*prompt, 99])
    assert (found.cached_tokens, found.outcome) == (8, CacheOutcome.PREFIX_HIT)
    chain = chain_of(prompt)
    assert made.open("b", chain, made.lookup(chain, prompt)) is not None


def test_what_is_computed_anew_for_want_of_a_snapshot_is_used_as_if_it_were_found():
    """Else its blocks and the snapshot behind them go before those of another prompt, which was used before that."""
    made = manager(snapshots=StateSnapshots(8), max_arenas=2)
    prompt, other = list(range(15)), list(range(100, 115))
    for name, tokens in (("a", prompt), ("b", other)):
        begin(made, name, tokens)
        compute(made, name, tokens, 4, 14)
        made.close(name)
    begin(made, "c", prompt)
    compute(made, "c", prompt, 12, 15)  # the snapshot at 12 is new
    made.close("c")
    made.check_integrity()
    begin(made, "large", range(200, 252))
    assert made.reserve("large", 52)  # evicts some of what there was
    assert [look(made, [*tokens, 99]).cached_tokens for tokens in (prompt, other)] == [12, 0]


def test_of_the_snapshots_taken_while_decoding_only_the_newest_stays():
    made = manager(snapshots=StateSnapshots(8))
    tokens = list(range(40))
    begin(made, "a", tokens[:8])
    compute(made, "a", tokens, *range(8, 40))
    assert len(made.snapshots) == 2  # at the end of the prompt, and at the last full block
    assert look(made, tokens).cached_tokens == 36


def test_a_snapshot_goes_with_its_block_and_the_least_used_first():
    snapshots = StateSnapshots(2)
    made = manager(snapshots=snapshots)
    for name in "abc":
        tokens = [ord(name)] * 9
        begin(made, name, tokens)
        compute(made, name, tokens, 8)
        made.close(name)
    assert len(snapshots) == 2
    assert len(snapshots.take_dropped()) == 1
    assert look(made, [ord("a")] * 9).cached_tokens == 0
    assert look(made, [ord("b")] * 9).cached_tokens == 8
    made.evict_cached()
    assert len(snapshots.take_dropped()) == 2
    assert len(snapshots) == 0


def test_snapshots_of_a_sequence_that_ends_too_soon_are_dropped():
    snapshots = StateSnapshots(2)
    made = manager(snapshots=snapshots)
    begin(made, "a", list(range(9)))
    made.reserve("a", 9)
    snapshot = made.plan_snapshot("a", 8)
    made.close("a")
    assert snapshots.take_dropped() == (snapshot,)


class Cache(RuleBasedStateMachine):
    """Sequences of few distinct tokens, so that prefixes collide all the time. ``content`` says what each block holds:
    a lookup must only ever return blocks whose content is the prompt's."""

    @initialize(arenas=st.integers(1, 3), snapshots=st.none() | st.integers(0, 4))
    def start(self, arenas, snapshots):
        self.manager = manager(arenas, None if snapshots is None else StateSnapshots(snapshots))
        self.states = {}  # snapshot -> the tokens whose state it is
        self.open = {}  # name -> [tokens, computed]
        self.content = {}
        self.names = 0

    @rule(prompt=st.lists(st.integers(0, 1), min_size=1, max_size=24))
    def admit(self, prompt):
        self.begin(prompt)

    def begin(self, prompt):
        self.names += 1
        name = str(self.names)
        lookup = begin(self.manager, name, prompt)
        self.check_found(lookup, prompt)
        if self.manager.snapshots is not None and lookup.blocks:
            assert self.states[self.manager.snapshots.use(lookup.blocks[-1])] == prompt[: lookup.cached_tokens]
        if self.manager.reserve(name, len(prompt)):
            self.open[name] = [prompt, lookup.cached_tokens]
        else:
            self.manager.close(name)

    def check_found(self, lookup, prompt):
        assert lookup.cached_tokens < len(prompt)
        for index, block in enumerate(lookup.blocks):
            assert self.content[block] == prompt[: (index + 1) * BLOCK]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), n=st.integers(1, 9))
    def compute(self, data, n):
        name = data.draw(st.sampled_from(sorted(self.open)))
        tokens, computed = self.open[name]
        if computed < len(tokens):
            self.write(name, tokens, computed, min(len(tokens), computed + n))
            self.manager.commit(name, tokens, self.open[name][1])

    def write(self, name, tokens, start, stop):
        """Keys, values and, at the end, the state of ``tokens[start:stop]``."""
        self.open[name][1] = stop
        blocks = [block for run in self.manager.runs(name) for block in run]
        for index in range(start // BLOCK, -(-stop // BLOCK)):
            self.content[blocks[index]] = tokens[: min((index + 1) * BLOCK, stop)]
        if (snapshot := self.manager.plan_snapshot(name, stop)) is not None:
            self.states[snapshot] = tokens[:stop]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), drafts=st.lists(st.integers(0, 1), min_size=1, max_size=6), accepted=st.integers(0, 5))
    def guess(self, data, drafts, accepted):
        """Compute behind what is verified; then some of it turns out right."""
        name = data.draw(st.sampled_from(sorted(self.open)))
        tokens, computed = self.open[name]
        if computed < len(tokens) or not self.manager.reserve(name, computed + len(drafts)):
            return
        self.write(name, [*tokens, *drafts], computed, computed + len(drafts))
        self.manager.commit(name, tokens, len(tokens))
        tokens = [*tokens, *drafts[:accepted]]
        if accepted < len(drafts):
            self.go_back(name, len(tokens), tokens)
        else:
            self.open[name][0] = tokens
            self.manager.commit(name, tokens, len(tokens))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), others=st.lists(st.integers(0, 1), max_size=9), evicted=st.booleans())
    def rewind(self, data, others, evicted):
        """To anywhere, and go on with other tokens; what it has given up may be gone at once."""
        name = data.draw(st.sampled_from(sorted(self.open)))
        tokens, computed = self.open[name]
        to = data.draw(st.integers(0, computed))
        if to < computed:
            self.go_back(name, to, [*tokens[:to], *others])
            if evicted:
                self.manager.evict_cached()

    def go_back(self, name, to, tokens):
        """To the first ``to`` of ``tokens``; then there is room for all of them, or the sequence ends."""
        found = self.manager.rewind(name, to)
        if self.manager.snapshots is None:
            assert to - BLOCK < found.computed <= to or (self.manager.windows and not found.computed)
        else:
            assert found.computed <= to
            assert (found.resume is None) == (found.computed == 0)
            assert found.resume is None or self.states[found.resume] == tokens[: found.computed]
        blocks = [block for run in self.manager.runs(name) for block in run]
        needed = -(-found.computed // BLOCK)
        assert needed <= len(blocks) < needed + 4
        blocks = blocks[:needed]
        assert not blocks or self.content[blocks[-1]][: found.computed] == tokens[: found.computed]
        if self.manager.reserve(name, len(tokens)):
            self.open[name] = [tokens, found.computed]
        else:
            del self.open[name]
            self.manager.close(name)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), token=st.integers(0, 1))
    def grow(self, data, token):
        name = data.draw(st.sampled_from(sorted(self.open)))
        tokens, computed = self.open[name]
        if computed == len(tokens) and self.manager.reserve(name, len(tokens) + 1, growing=True):
            self.open[name][0] = [*tokens, token]

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def close(self, data):
        name = data.draw(st.sampled_from(sorted(self.open)))
        del self.open[name]
        self.manager.close(name)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def move(self, data):
        name = data.draw(st.sampled_from(sorted(self.open)))
        moved = self.manager.move_private(name, most=3)
        for source, target in zip(moved.source, moved.target, strict=True) if moved else ():
            if source in self.content:
                self.content[target] = self.content[source]

    @rule()
    def evict(self):
        self.manager.evict_cached()

    @rule(arenas=st.integers(1, 3))
    def resize(self, arenas):
        self.manager.pool.resize(arenas)

    @invariant()
    def whole(self):
        if not hasattr(self, "manager"):
            return
        self.manager.check_integrity()
        for block, (digest, _) in self.manager._layers.index._key.items():  # whatever can be found holds what its name says
            assert chain_of(self.content[block]).digests[-1] == digest
            assert len(self.content[block]) % BLOCK == 0
        if self.manager.snapshots is not None:
            for snapshot in self.manager.snapshots.take_dropped():
                del self.states[snapshot]
            assert len(self.states) == len(self.manager.snapshots)


TestCache = Cache.TestCase
TestCache.settings = settings(max_examples=examples(24), stateful_step_count=30, deadline=None)
