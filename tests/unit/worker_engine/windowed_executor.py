"""A simulated device whose model has layers that see a window, too: each group of layers has slots of its own."""

from tests.unit.worker_engine.simulated_executor import SimulatedExecutor


class WindowedExecutor(SimulatedExecutor):
    """``windows``: what layers see, in tokens; each group's arenas have ``window_blocks`` blocks. Whatever a chunk sees must be there
    before it is computed, and still when all chunks of its step are: layers write the tokens of all of them before any attends.
    """

    def __init__(self, *args, windows, window_blocks, **options):
        super().__init__(*args, **options)
        self.windows = windows
        self.window_blocks = window_blocks
        self.window_slots = [{} for _ in windows]
        self.window_sizes = [{} for _ in windows]
        self.seen = []  # group, slot, content
        self.most_held = [0 for _ in windows]  # blocks that a sequence had at once

    def reset(self):
        super().reset()
        self.window_slots = [{} for _ in self.windows]

    def run(self, plan):
        assert not plan.chunks or len(plan.window_arenas) == len(self.windows)
        self.seen.clear()
        result = super().run(plan)
        for group, slot, content in self.seen:
            assert self.window_slots[group].get(slot) == content, "a block that a chunk sees was written by another one of its step"
        return result

    def _slots_of(self, group):
        return self.window_slots[group - 1] if group else self.slots

    def _keep(self, plan):
        super()._keep(plan)
        for group, arenas in enumerate(plan.window_arenas, start=1):
            self.window_sizes[group - 1] = {arena.number: arena.blocks for arena in arenas}
            kept = {slot: content for slot, content in self._slots_of(group).items() if self._has(slot, group)}
            self.window_slots[group - 1] = kept

    def _has(self, slot, group=0):
        if not group:
            return super()._has(slot)
        arena, block = divmod(slot // self.block_size, self.window_blocks)
        return block < self.window_sizes[group - 1].get(arena, 0)

    def _move(self, move):
        if not move.group:
            super()._move(move)
            return
        slots = self.window_slots[move.group - 1]
        places = [block * self.block_size for block in (*move.source, *move.target)]
        assert all(self._has(slot, move.group) for slot in places), "there is no memory for a block"
        content = [[slots.get(block * self.block_size + at) for at in range(self.block_size)] for block in move.source]
        for block, held in zip(move.target, content, strict=True):
            for at, one in enumerate(held):
                slots[block * self.block_size + at] = one

    def _compute(self, chunk):
        guesses = chunk.tokens[chunk.count - chunk.drafts :] if chunk.drafts else ()
        inputs = self._inputs(chunk.sequence, [*self.tokens[chunk.sequence], *guesses])
        contents = self._contents(chunk.sequence, inputs[: chunk.start + chunk.count])
        for group, (window, held) in enumerate(zip(self.windows, chunk.windows, strict=True)):
            self._attend(group, window, held, chunk, contents)
        return super()._compute(chunk)

    def _attend(self, group, window, held, chunk, contents):
        slots, stop = self.window_slots[group], chunk.start + chunk.count
        self.most_held[group] = max(self.most_held[group], sum(map(len, held.runs)))
        lying = [block * self.block_size + at for run in held.runs for block in run for at in range(self.block_size)]
        first = held.passed * self.block_size
        assert first + len(lying) >= stop, "the blocks of a window do not hold the chunk"
        assert all(self._has(slot, group + 1) for slot in lying), "there is no memory for a block of a window"
        for at in range(max(0, chunk.start - window + 1), chunk.start):
            assert at >= first, f"{chunk.sequence}: it has passed token {at}, which its window shows"
            assert slots.get(lying[at - first]) == contents[at + 1], f"{chunk.sequence}: a window shows something else at token {at}"
            self.seen.append((group, lying[at - first], contents[at + 1]))
        for at in range(chunk.start, stop):
            slots[lying[at - first]] = contents[at + 1]
            self.seen.append((group, lying[at - first], contents[at + 1]))
