"""Windows against a model that remembers what every block of every group of layers should hold."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from mlxd.worker.kv.state_snapshots import StateSnapshots
from tests.support.examples import examples
from tests.unit.worker_kv.test_manager import BLOCK, Cache, chain_of
from tests.unit.worker_kv.windowed import manager


class WindowCache(Cache):
    """As with layers that see everything; beside that, each sequence has in every group the last blocks, which its window shows."""

    @initialize(
        arenas=st.integers(1, 3),
        snapshots=st.none() | st.integers(0, 4),
        windows=st.lists(st.sampled_from([1, 2, 4, 5, 7, 11, 40]), min_size=1, max_size=2, unique=True),
        window_blocks=st.integers(3, 9),
    )
    def start(self, arenas, snapshots, windows, window_blocks):
        self.manager = manager(
            *windows,
            arenas=arenas,
            window_blocks=window_blocks,
            window_arenas=arenas,
            snapshots=None if snapshots is None else StateSnapshots(snapshots),
            growth_blocks=4,
        )
        self.shown = [{} for _ in windows]  # block -> the tokens up to its last one
        self.states, self.open, self.content, self.names = {}, {}, {}, 0

    @rule(zeros=st.integers(0, 30), others=st.lists(st.integers(0, 1), min_size=1, max_size=3))
    def admit_alike(self, zeros, others):
        self.begin([0] * zeros + others)

    def check_found(self, lookup, prompt):
        super().check_found(lookup, prompt)
        depth = lookup.cached_tokens // BLOCK
        for group, blocks, shown in zip(self.manager.windows, lookup.windows, self.shown, strict=True):
            assert len(blocks) == depth - max(0, lookup.cached_tokens - group.window + 1) // BLOCK
            for index, block in enumerate(blocks, start=depth - len(blocks)):
                assert shown[block] == prompt[: (index + 1) * BLOCK]

    def write(self, name, tokens, start, stop):
        self.manager.pass_by(name, start)
        for held, group, shown in zip(self.manager.window_runs(name), self.manager.windows, self.shown, strict=True):
            passed, blocks = held.passed, [block for run in held.runs for block in run]
            for index in range(max(0, start - group.window + 1) // BLOCK, start // BLOCK):
                assert index >= passed, "what a window shows was passed"
                assert shown[blocks[index - passed]] == tokens[: (index + 1) * BLOCK], "a window shows something else"
            for index in range(start // BLOCK, -(-stop // BLOCK)):
                shown[blocks[index - passed]] = tokens[: min((index + 1) * BLOCK, stop)]
        super().write(name, tokens, start, stop)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def pass_by(self, data):
        name = data.draw(st.sampled_from(sorted(self.open)))
        tokens, computed = self.open[name]
        self.manager.pass_by(name, min(len(tokens), computed))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def move_window(self, data):
        name = data.draw(st.sampled_from(sorted(self.open)))
        group = data.draw(st.integers(1, len(self.shown)))
        moved = self.manager.move_private(name, group, most=3)
        shown = self.shown[group - 1]
        for source, target in zip(moved.source, moved.target, strict=True) if moved else ():
            if source in shown:
                shown[target] = shown[source]

    @rule(data=st.data())
    def distrust(self, data):
        known = sorted(self.manager.groups[0].index._key)
        if known:
            bad = data.draw(st.sampled_from(known))
            tokens = self.content[bad]
            self.manager.distrust({bad})
            assert len(self.manager.cached(chain_of(tokens))) < len(tokens) // BLOCK

    @invariant()
    def windows_are_whole(self):
        for group, shown in zip(self.manager.windows, self.shown, strict=True) if hasattr(self, "manager") else ():
            for block, (digest, _) in group.index._key.items():
                assert chain_of(shown[block]).digests[-1] == digest
            assert len(group._passed) <= max(1, group.pool.capacity)


TestWindowCache = WindowCache.TestCase
TestWindowCache.settings = settings(max_examples=examples(32), stateful_step_count=30, deadline=None)
