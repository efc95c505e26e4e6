"""Scheduler and paged runner over a simulated device that checks every block and every state a sequence reads."""

import random

import msgspec

from mlxd.disk_terms import DiskSettings
from mlxd.errors import CacheTooSmallError
from mlxd.types import Limits, ResolvedLimits, SamplingParams
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.fetching import DiskFetching
from mlxd.worker.engine.paged_runner import PagedRunner
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.engine.seeing import MediaSeeing
from mlxd.worker.engine.speculation.drafter import Guesses
from mlxd.worker.engine.speculation.speculation import Speculation, most_guesses
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.kv.disk_side import DiskSide
from mlxd.worker.kv.group_tier import GroupTier
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.sizing import CacheSizing, WindowBytes, WindowSizes
from mlxd.worker.kv.state_snapshots import StateSnapshots
from tests.unit.worker_engine.pictures import shown
from tests.unit.worker_engine.seeing_executor import EMBEDDING_BYTES, SeeingExecutor
from tests.unit.worker_engine.simulated_executor import ROOT, SimulatedExecutor, next_token
from tests.unit.worker_engine.windowed_executor import WindowedExecutor

BLOCK = 4


class RandomGuesses(Speculation):
    """Guesses by the seed ``chance``: some are what will come, and some not."""

    def __init__(self, executor, chance):
        super().__init__(Limits())
        self.executor, self.chance = executor, random.Random(chance)  # noqa: S311

    def guesses(self, decoding):
        self.is_awaited = self.chance.random() < 0.5
        found = {}
        for sequence in decoding:
            most = min(self.chance.choice([0, 1, 2, 6]), most_guesses(sequence, 6))
            if not sequence.in_flight and most > 0:
                guesses = self._guess(list(sequence.tokens), most)
                found[sequence.id] = Guesses(len(guesses), guesses)
        return found

    def _guess(self, tokens, most):
        right = self.chance.randint(0, most)
        for at in range(most):
            tokens.append(next_token(tokens, self.executor.ends_after) if at < right else self.chance.randint(0, 6))
        return tuple(tokens[-most:])


def embeddings_of(limits, embeddings):
    """The limits of a cache that has room for so many embeddings beside the same blocks as ever."""
    size = EMBEDDING_BYTES * embeddings
    return {"cache_bytes": limits.cache_bytes + size, "media_bytes": size}


class Rig:
    """A paged runner stepped by hand, and what it said. ``checked``: the cache is looked through after every so many steps."""

    def __init__(
        self,
        *,
        blocks=64,
        arenas=1,
        spare=0,
        snapshots=None,
        max_sequences=8,
        step_tokens=16,
        guesses=None,
        checked=1,
        tier=None,
        windows=(),
        window_blocks=64,
        block_bytes=(),
        sight=None,
        embeddings=None,
        **executor,
    ):
        """``sight`` says what encoding takes; the cache holds so many ``embeddings`` that nobody needs."""
        self.checked = checked
        wished = None if tier is None else DiskSettings(path="/nowhere", limit=2**30)
        self.limits = ResolvedLimits(max_sequences=max_sequences, step_tokens=step_tokens, cache_bytes=blocks * arenas * BLOCK, disk=wished)
        self.tier = tier
        beside = [DiskSide(GroupTier(tier, group), 8 * BLOCK, group=group) for group in range(1, len(windows) + 1)]
        disk = None if tier is None else DiskSide(tier, 8 * BLOCK, beside=beside)
        self.manager = Manager(
            block_size=BLOCK,
            arena_blocks=blocks,
            capacity=arenas * blocks,
            spare=spare,
            snapshots=None if snapshots is None else StateSnapshots(snapshots),
            disk=disk,
            windows=[WindowSizes(window, window_blocks, arenas * window_blocks, 0) for window in windows],
            block_bytes=block_bytes[: 1 + len(windows)],
        )
        executor |= {"arena_blocks": blocks, "has_state": snapshots is not None, "tier": tier}
        if sight is not None:
            self.limits = msgspec.structs.replace(self.limits, **embeddings_of(self.limits, embeddings))
            self.executor = SeeingExecutor(BLOCK, sight=sight, windows=windows, window_blocks=window_blocks, **executor)
        elif windows:
            self.executor = WindowedExecutor(BLOCK, windows=windows, window_blocks=window_blocks, **executor)
        else:
            self.executor = SimulatedExecutor(BLOCK, **executor)
        self.speculation = None if guesses is None else RandomGuesses(self.executor, guesses)
        self.scheduler = Scheduler(
            self.manager,
            self.limits,
            budget := StepBudget(largest=32),
            end_tokens=self.executor.end_tokens,
            most_scored=6,
            speculation=self.speculation,
            fetching=None if disk is None else DiskFetching(self.manager, disk, budget),
            seeing=None if sight is None else MediaSeeing(EMBEDDING_BYTES),
        )
        sizing = CacheSizing(BLOCK, 1, 0, tuple(WindowBytes(window, 0) for window in windows))
        self.runner = PagedRunner(self.scheduler, self.manager, self.executor, sizing, self.limits, disk)
        self.reports, self.tokens, self.started, self.ended, self.failed, self.requests = [], {}, {}, {}, {}, {}
        self.preemptions, self.scored, self.drafted, self.accepted = 0, {}, 0, 0

    def add(self, name, prompt, max_tokens=5, *, media=(), priority=0, arrived=None, asks=None, lasting=0, inputs=()):
        arrived = len(self.requests) if arrived is None else arrived
        encoded = EncodedPrompt(list(prompt), max_tokens, ROOT, tuple(media), lasting=lasting, inputs=tuple(inputs))
        request = EngineRequest(name, encoded, SamplingParams(temperature=0), priority=priority, arrived=arrived, **(asks or {}))
        self.requests[name] = request
        try:
            self.runner.add(request)
        except CacheTooSmallError as error:
            self.failed[name] = error

    def show(self, name, parts, max_tokens=5, **fields):
        """Adds a request whose prompt are words and pictures."""
        tokens, media, inputs = shown(parts)
        self.add(name, tokens, max_tokens, media=media, inputs=inputs, **fields)

    def step(self):
        report = self.runner.step()
        self.reports.append(report)
        self.preemptions += report.preemptions
        for event in report.started:
            assert event.id not in self.started
            self.started[event.id] = event
        for event in report.scored:
            assert event.id not in self.scored
            assert event.id not in self.tokens
            self.scored[event.id] = event.tokens
        for event in report.sampled:
            assert event.id in self.scored or not self.requests[event.id].prompt_logprobs
            self.tokens.setdefault(event.id, []).extend(token.id for token in event.tokens)
            assert event.accepted <= len(event.tokens)
            self.drafted, self.accepted = self.drafted + event.accepted + event.rejected, self.accepted + event.accepted
        for name in (*report.ended, *report.failed):
            assert name not in self.ended
            assert name not in self.failed
        self.ended |= report.ended
        self.failed |= report.failed
        if len(self.reports) % self.checked == 0 or self.runner.is_idle:
            self.manager.check_integrity()
        if self.manager.snapshots is not None:
            assert len(self.executor.snapshots) <= len(self.manager.snapshots) + len(self.manager.snapshots._dropped)

    def run(self, limit=2000):
        for _ in range(limit):
            if self.runner.is_idle:
                return
            self.step()
        raise AssertionError("it does not come to an end")

    def run_reading(self):
        """As ``run``, with reads from disk that are done at once from now on."""
        if self.tier is not None:
            self.tier._held = False
            self.tier.let_go()
        self.run()

    def settle(self, limit=2000):
        """Whatever is to be written is."""
        self.run(limit)
        while self.runner.rest == 0.0:
            self.step()

    def expected(self, name):
        tokens, request = list(self.requests[name].tokens), self.requests[name]
        while len(tokens) - len(request.tokens) < request.max_tokens:
            tokens.append(next_token(tokens, self.executor.ends_after))
            if tokens[-1] in request.ends(self.executor.end_tokens):
                break
        return tokens[len(request.tokens) :]

    def all_right(self, *names):
        """These ended with the tokens they get alone."""
        return {name: self.tokens[name] for name in names} == {name: self.expected(name) for name in names}
