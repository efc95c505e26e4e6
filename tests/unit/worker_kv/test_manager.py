"""The manager, as the scheduler uses it; then against a model that remembers what every block should hold."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlxd.types import CacheOutcome
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.prefix_index import root_digest

ROOT = root_digest("model")
BLOCK = 4


def manager(max_arenas=4):
    return Manager(block_size=BLOCK, arena_blocks=8, max_arenas=max_arenas)


def run(made, name, prompt):
    """Admit, compute and commit a whole prompt; what the cache gave it."""
    lookup = made.lookup(ROOT, prompt)
    made.open(name, prompt, lookup)
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
    made.open("a", prompt, made.lookup(ROOT, prompt))
    made.reserve("a", 20)
    assert made.lookup(ROOT, prompt).computing == "a"
    made.commit("a", prompt, 8)
    found = made.lookup(ROOT, prompt)
    assert (found.cached_tokens, found.computing) == (8, "a")
    made.close("a")
    assert made.lookup(ROOT, prompt).computing is None


def test_generated_tokens_are_found_by_the_next_turn():
    made = manager()
    run(made, "a", list(range(6)))
    assert made.reserve("a", 10, growing=True)
    made.commit("a", list(range(10)), 10)
    made.close("a")
    assert made.lookup(ROOT, [*range(10), 77]).cached_tokens == 8


def test_extra_keys_separate_equal_tokens():
    made = manager()
    prompt = list(range(8))
    picture = [(b"cat",), ()]
    made.open("a", prompt, made.lookup(ROOT, prompt, picture), picture)
    made.reserve("a", 8)
    made.commit("a", prompt, 8, picture)
    assert made.lookup(ROOT, prompt, picture).cached_tokens == 4
    assert made.lookup(ROOT, prompt, [(b"dog",), ()]).cached_tokens == 0


def test_growth_keeps_side_by_side_sequences_in_few_runs():
    made = manager()
    for name in "ab":
        run(made, name, [ord(name), 1, 2])
    for length in range(4, 33):
        for name in "ab":
            assert made.reserve(name, length, growing=True)
    assert all(len(made.runs(name)) <= 3 for name in "ab")


def test_private_blocks_can_be_moved_together():
    made = manager()
    for name in "ab":
        run(made, name, [ord(name), 1, 2])
    for length in range(4, 33):
        for name in "ab":
            assert made.reserve(name, length)  # without growing ahead they interleave
    assert len(made.runs("a")) > 2
    source, target = made.move_private("a")
    assert len(source) == len(target)
    assert len(made.runs("a")) <= 2
    made.check_integrity()


class Cache(RuleBasedStateMachine):
    """Sequences of few distinct tokens, so that prefixes collide all the time. ``content`` says what each block holds:
    a lookup must only ever return blocks whose content is the prompt's."""

    @initialize(arenas=st.integers(1, 3))
    def start(self, arenas):
        self.manager = manager(arenas)
        self.open = {}  # name -> [tokens, computed]
        self.content = {}
        self.names = 0

    @rule(prompt=st.lists(st.integers(0, 1), min_size=1, max_size=24))
    def admit(self, prompt):
        lookup = self.manager.lookup(ROOT, prompt)
        assert lookup.cached_tokens < len(prompt)
        for index, block in enumerate(lookup.match.blocks):
            assert self.content[block] == prompt[: (index + 1) * BLOCK]
        self.names += 1
        name = str(self.names)
        self.manager.open(name, prompt, lookup)
        if self.manager.reserve(name, len(prompt)):
            self.open[name] = [prompt, lookup.cached_tokens]
        else:
            self.manager.close(name)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), n=st.integers(1, 9))
    def compute(self, data, n):
        name = data.draw(st.sampled_from(sorted(self.open)))
        tokens, computed = self.open[name]
        computed = min(len(tokens), computed + n)
        self.open[name][1] = computed
        blocks = [block for run in self.manager.runs(name) for block in run]
        for index in range(computed // BLOCK):
            self.content[blocks[index]] = tokens[: (index + 1) * BLOCK]
        self.manager.commit(name, tokens, computed)

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
        moved = self.manager.move_private(name)
        for source, target in zip(*(moved or ([], [])), strict=True):
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
        if hasattr(self, "manager"):
            self.manager.check_integrity()


TestCache = Cache.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
