"""A device without a model that knows what every slot of the cache must hold.

A slot's content stands for the whole sequence of tokens up to it, as real keys and values depend on all of them. Each chunk's context is
checked before it is "computed", so a scheduler or cache that gives a sequence a wrong, stale or missing block fails at once.

It computes what a plan says once it was encoded and decoded, as another process that gets it would.
"""

import random
import struct
from dataclasses import replace
from itertools import accumulate
from operator import eq

import msgspec

from mlxd.disk_cache.tier import Spilled
from mlxd.types import MemoryFigures
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.engine.executor import StepResult
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.engine.sampled import SampledToken
from mlxd.worker.engine.transfers import Transfers
from mlxd.worker.kv.block_chain import root_digest
from mlxd.worker.kv.group_tier import GroupTier

END = 0
ROOT = CacheRoot(model="model")


def next_token(tokens, ends_after):
    """Any fixed function of the sequence: the same beginning always goes on in the same way."""
    return END if len(tokens) >= ends_after else 1 + hash(tuple(tokens)) % 5


def prompt_score(tokens, at):
    return -1.0 - hash(tuple(tokens[: at + 1])) % 7


def contents_of(inputs, after=0):
    """What stands for each beginning of them, the empty one first, which comes ``after`` what that stands for: whole beginnings would be
    kept for each slot, and compared.
    """
    return list(accumulate(inputs, lambda before, one: hash((before, one)), initial=after))


class SimulatedExecutor:
    """Implements ``Executor``. ``has_state``: the model is recurrent, so what was computed last must be the token before.

    With ``arena_blocks``, what lies in no arena, as large as a plan says they are, is forgotten. ``burst`` tokens are sampled at once, the
    later ones as if guessed rightly; only where nothing is launched ahead. With a seed ``late`` some tokens come some steps late, as if
    a constraint had not said yet what may come.
    """

    end_tokens = frozenset({END})
    most_scored = 6

    def __init__(
        self,
        block_size,
        *,
        arena_blocks=None,
        burst=1,
        ends_after=10**9,
        fail_at=frozenset(),
        has_state=False,
        ahead=True,
        late=None,
        tier=None,
    ):
        self.ahead = ahead
        self.block_size = block_size
        self.arena_blocks = arena_blocks
        self.arenas = ()
        self.sizes = {}
        self.burst = burst
        assert burst == 1 or not ahead
        self.ends_after = ends_after
        self.fail_at = fail_at  # numbers of the launches that raise
        self.has_state = has_state
        self.slots = {}
        self.states = {}  # sequence -> what stands for the tokens its recurrent state has seen
        self.snapshots = {}
        self.tokens = {}  # of open sequences, all that were sampled included
        self.pictures = {}  # of open sequences: what is shown at which tokens
        self.contents = {}  # of open sequences: what was computed last, and what stands for each beginning of it
        self.faulty = set()  # sequences whose next token fails alone
        self.late = {}  # sequence -> tokens that nobody has yet
        self.chance = None if late is None else random.Random(late)  # noqa: S311
        self.tier = tier
        self.spilled = {root_digest(ROOT): 0}  # what stands for all up to the end of each block that went to disk
        self.launches = 0
        self.moves = 0
        self.computed = 0
        self.pending = None
        self.is_growing = False

    @property
    def is_pending(self):
        return self.pending is not None

    def open(self, request):
        self.tokens[request.id] = list(request.tokens)
        self.pictures[request.id] = {
            at: (span.content, span.first + at - span.start) for span in request.prompt.media for at in range(span.start, span.stop)
        }

    def close(self, sequence):
        self.tokens.pop(sequence, None)
        self.contents.pop(sequence, None)
        self.states.pop(sequence, None)
        self.late.pop(sequence, None)

    def not_finite(self, cached):
        return frozenset()

    def reset(self):
        self.slots, self.states, self.snapshots, self.late, self.pending = {}, {}, {}, {}, None

    def settle(self):
        if self.ahead:
            self.pending = self._withhold(self.pending)
        return frozenset(self.late)

    def run(self, plan):
        sent, plan = plan, msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=StepPlan)
        assert plan == sent
        assert plan.chunks or not plan.moves, "blocks are to be moved by a step that is none"
        transfers = self._transfer(plan)
        result = self._run(plan)
        return result if transfers is None else replace(result or StepResult(StepPlan(), {}, {}), transfers=transfers)

    def _run(self, plan):
        before, self.pending = self.pending, None
        if plan.chunks:
            self.launches += 1
            if self.launches in self.fail_at:
                raise RuntimeError("the device failed")
            self._keep(plan)
            for move in plan.moves:
                self._move(move)
            assert sum(len(chunk.targets) for chunk in plan.chunks) <= self.most_scored
            scored = {}
            for chunk in plan.chunks:
                scored[chunk.sequence] = scored.get(chunk.sequence, ()) + self._score(chunk)
            sampled = {chunk.sequence: tokens for chunk in plan.chunks if (tokens := self._compute(chunk))}
            failed = {name: ValueError("its constraint failed") for name in self.faulty & sampled.keys()}
            self.pending = StepResult(plan, sampled, failed, scored)
        for sequence in plan.released:
            self.states.pop(sequence, None)
        for snapshot in plan.dropped:
            self.snapshots.pop(snapshot, None)
        if not self.ahead:
            before, self.pending = self._withhold(self.pending), None
        return before

    def _transfer(self, plan):
        if not plan.spills and not plan.fetches:
            return None
        for spill in plan.spills:
            tier = GroupTier(self.tier, spill.group) if spill.group else self.tier
            tier.write([self._spilled(spill)])
        self._keep(plan)
        size = self.block_size
        for fetch in plan.fetches:
            assert all(self._has(block * size, fetch.group) for block in fetch.blocks), "there is no memory for a block from disk"
            for block, payload in zip(fetch.blocks, fetch.payloads, strict=True):
                self._slots_of(fetch.group).update(enumerate(struct.unpack(f"{size}q", payload[0]), start=block * size))
        return Transfers(8 * size * len(plan.spills), 1e-6, 8 * size * sum(len(fetch.blocks) for fetch in plan.fetches), 1e-6)

    def _slots_of(self, group):
        assert group == 0
        return self.slots

    def _spilled(self, spill):
        """What a block holds, which must be what its name says, as far as that of the block before is known."""
        slots = self._slots_of(spill.group)
        content = [slots[spill.block * self.block_size + at] for at in range(self.block_size)]
        before = self.spilled.get(spill.key.parent)
        if before is not None and not spill.key.extra:
            assert content == contents_of(spill.key.tokens, before)[1:], "a block goes to disk that is not what its name says"
        self.spilled[spill.digest] = content[-1]
        payload = struct.pack(f"{self.block_size}q", *content)
        return Spilled(digest=spill.digest, parent=spill.key.parent, tokens=spill.key.tokens, extra=spill.key.extra, payload=(payload,))

    def _withhold(self, result):
        """A result without the tokens that are late, and with some that were."""
        if self.chance is None or (result is None and not self.late):
            return result
        result = result or StepResult(StepPlan(), {}, {})
        late = {name: tokens for name, tokens in result.sampled.items() if self.chance.random() < 0.4}
        told = {name: tokens for name, tokens in self.late.items() if self.chance.random() < 0.4}
        if not told and len(late) == len(result.sampled):
            late, told = {}, dict(self.late)  # something goes on
        sampled = {**{name: tokens for name, tokens in result.sampled.items() if name not in late}, **told}
        self.late = {name: tokens for name, tokens in {**self.late, **late}.items() if name not in told}
        failed = {name: ValueError("its constraint failed") for name in self.faulty & sampled.keys()}
        return replace(result, sampled=sampled, failed=failed)

    def trim(self, plan):
        assert not plan.chunks
        assert self.pending is None
        self._transfer(plan)
        self._keep(plan)
        for move in plan.moves:
            self._move(move)
        for snapshot in plan.dropped:
            self.snapshots.pop(snapshot, None)

    def memory(self):
        return MemoryFigures()

    def _keep(self, plan):
        if self.arena_blocks is not None and plan.arenas != self.arenas:
            self.sizes = {arena.number: arena.blocks for arena in plan.arenas}
            self.slots = {slot: content for slot, content in self.slots.items() if self._has(slot)}
        self.arenas = plan.arenas

    def _has(self, slot, group=0):
        assert group == 0
        if self.arena_blocks is None:
            return True
        arena, block = divmod(slot // self.block_size, self.arena_blocks)
        return block < self.sizes.get(arena, 0)

    def _move(self, move):
        self.moves += 1
        content = [[self.slots.get(block * self.block_size + at) for at in range(self.block_size)] for block in move.source]
        assert all(self._has(block * self.block_size) for block in (*move.source, *move.target)), "there is no memory for a block"
        for block, slots in zip(move.target, content, strict=True):
            for at, slot in enumerate(slots):
                self.slots[block * self.block_size + at] = slot

    def _contents(self, sequence, inputs):
        """As ``contents_of``, which is asked for what is new only: a sequence is computed piece by piece."""
        known, contents = self.contents.get(sequence, ([], [0]))
        if inputs[: len(known)] != known:
            known, contents = [], [0]
        contents = contents[:-1] + contents_of(inputs[len(known) :], contents[-1])
        self.contents[sequence] = inputs, contents
        return contents

    def _check_state(self, chunk, contents):
        if chunk.resume is not None:
            self.states[chunk.sequence] = self.snapshots[chunk.resume]
        elif not chunk.start:
            self.states[chunk.sequence] = contents[0]
        assert self.states[chunk.sequence] == contents[chunk.start], f"{chunk.sequence}: its state is another one"
        self.states[chunk.sequence] = contents[-1]
        if chunk.keep is not None:
            self.snapshots[chunk.keep] = contents[-1]

    def _compute(self, chunk):
        tokens = self.tokens[chunk.sequence]
        stop = chunk.start + chunk.count
        assert chunk.sequence not in self.late, "its last token is not sampled yet"
        guesses = chunk.tokens[chunk.count - chunk.drafts :] if chunk.drafts else ()
        known, tokens = tokens, [*tokens, *guesses]
        assert stop - chunk.drafts <= len(known), "a token is computed before it is sampled"
        assert not guesses or stop == len(tokens), "guesses stand behind a token that is not the newest"
        assert chunk.tokens is None or list(chunk.tokens) == tokens[chunk.start : stop]
        slots = [block * self.block_size + at for run in chunk.runs for block in run for at in range(self.block_size)]
        assert len(slots) >= stop, "the blocks do not hold the chunk"
        assert all(map(self._has, slots)), "there is no memory for a block"
        contents = self._contents(chunk.sequence, self._inputs(chunk.sequence, tokens)[:stop])
        held, expected = list(map(self.slots.get, slots[: chunk.start])), contents[1 : chunk.start + 1]
        assert held == expected, f"{chunk.sequence}: slot of token {list(map(eq, held, expected)).index(False)} holds something else"
        self.slots.update(zip(slots[chunk.start : stop], contents[chunk.start + 1 :], strict=True))
        if self.has_state:
            self._check_state(chunk, contents)
        self.computed += chunk.count
        assert chunk.samples == (stop == len(tokens))
        if not chunk.samples:
            return ()
        before = len(known)
        for guess in (*guesses, *[None] * self.burst):
            known.append(next_token(known, self.ends_after))
            if guess is not None and known[-1] != guess:
                break
        return tuple(map(SampledToken, known[before:]))

    def _inputs(self, sequence, tokens):
        """The tokens, each with the part of a picture that stands there."""
        pictures = self.pictures[sequence]
        return [(token, pictures[at]) if at in pictures else token for at, token in enumerate(tokens)] if pictures else tokens

    def _score(self, chunk):
        """Any fixed function of a token and those before it."""
        tokens = self.tokens[chunk.sequence]
        assert list(chunk.targets) == tokens[chunk.start + 1 : chunk.start + 1 + len(chunk.targets)]
        return tuple(SampledToken(target, prompt_score(tokens, chunk.start + at)) for at, target in enumerate(chunk.targets, start=1))
