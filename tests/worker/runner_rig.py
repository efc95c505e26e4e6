"""A runner driven by hand: what is added runs to its end, and every report is kept."""

from dataclasses import replace
from types import MappingProxyType

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import make_prompt_cache

from mlxd.types import ResolvedLimits, SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.paged_runner import PagedRunner
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.sizing import WindowSizes
from mlxd.worker.kv.state_snapshots import StateSnapshots
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.build import cache_sizing, prove_model
from mlxd.worker.runtime.paged.executor import PagedExecutor
from mlxd.worker.runtime.paged.key_value_choice import choose_key_values
from mlxd.worker.runtime.paged.launch import Launch
from mlxd.worker.runtime.paged.slots import Geometry
from tests.support.architectures import ARCHITECTURES, build
from tests.support.tiny_model import EOS, VOCAB

ROOT = CacheRoot(model="tiny")
NEVER_ENDS = {EOS: -1000.0}  # a logit bias
ROUNDING = 2e-3  # of a log-probability in float32: it was up to 4e-5, and 0.02 or more where keys are one slot off


class RunnerRig:
    """``check`` is called after each step."""

    def __init__(self, runner, check=lambda: None):
        self.runner = runner
        self.check = check
        self.reports, self.tokens, self.started, self.ended, self.failed = [], {}, {}, {}, {}
        self.sampled, self.scored = {}, {}

    def add(self, name, prompt, *, max_tokens=12, priority=0, asks=None, **sampling):
        """Greedy, unless ``sampling`` says otherwise; nothing ends early. ``asks`` are more fields of the request."""
        options = {"temperature": 0.0, "logit_bias": NEVER_ENDS} | sampling
        encoded = EncodedPrompt(list(prompt), max_tokens, ROOT)
        self.runner.add(EngineRequest(name, encoded, SamplingParams(**options), priority=priority, **(asks or {})))

    def step(self):
        report = self.runner.step()
        self.reports.append(report)
        for event in report.started:
            self.started[event.id] = event
        for event in report.scored:
            assert event.id not in self.scored, "a prompt's scores came twice"
            assert event.id not in self.tokens, "its scores came too late"
            self.scored[event.id] = event.tokens
        for event in report.sampled:
            self.tokens.setdefault(event.id, []).extend(token.id for token in event.tokens)
            self.sampled.setdefault(event.id, []).extend(event.tokens)
        for name in (*report.ended, *report.failed):
            assert name not in self.ended, "a request ended twice"
            assert name not in self.failed, "a request ended twice"
        self.ended |= report.ended
        self.failed |= report.failed
        self.check()
        return report

    def run(self):
        while not self.runner.is_idle:
            self.step()

    def ask(self, prompt, name=None, **options):
        """One request from beginning to end: its tokens, and what the cache said."""
        name = name or f"request {len(self.started)}"
        self.add(name, prompt, **options)
        self.run()
        if name in self.failed:
            raise self.failed[name]
        return self.tokens[name], self.started[name]

    @property
    def chunks(self):
        """Tokens of prompts, step by step."""
        return [report.tokens - len(report.sampled) for report in self.reports if report.tokens > len(report.sampled)]


known = {}  # by model, block size and type: proved once, for every rig of the same in a file


def proved(loaded, block_size, kv):
    key = id(loaded), block_size, kv
    if key not in known:
        known[key] = loaded, choose_key_values(loaded, prove_model(loaded, block_size), kv).proved.model
    return known[key][1]


class PagedRig(RunnerRig):
    """The paged runner with arenas of a size of the test's choice; ``window_blocks`` are those of layers that see a window, by default as
    many as of all others; ``divided``: they give each other what they do not need. With ``spare`` of four times as many blocks as there
    may be they have that size from the beginning. Integrity is checked after every step.
    """

    def __init__(
        self,
        loaded,
        *,
        block_size=4,
        arena_blocks=64,
        max_arenas=4,
        window_blocks=None,
        divided=False,
        spare=0,
        step_tokens=24,
        max_sequences=16,
        snapshots=64,
        ahead=False,
        launch=Launch.AT_ONCE,
        draft=None,
        speculation=None,
        kv="model",
    ):
        self.model = proved(loaded, block_size, kv)
        windows = [
            WindowSizes(one, window_blocks or arena_blocks, max_arenas * (window_blocks or arena_blocks), spare)
            for one in self.model.passable_windows(loaded.context_length)
        ]
        sizing = cache_sizing(loaded, self.model)
        self.model.resize(Geometry(block_size, arena_blocks), {one.window: Geometry(block_size, one.arena_blocks) for one in windows})
        if draft is not None:
            draft.resize(Geometry(block_size, arena_blocks))
        self.manager = Manager(
            block_size=block_size,
            arena_blocks=arena_blocks,
            capacity=max_arenas * arena_blocks,
            spare=spare,
            snapshots=StateSnapshots(snapshots) if self.model.states.exist else None,
            windows=windows,
            block_bytes=sizing.block_bytes if divided else (),
        )
        self.executor = PagedExecutor(loaded, self.model, ahead=ahead, launch=launch, draft=draft)
        self.limits = ResolvedLimits(max_sequences=max_sequences, step_tokens=step_tokens, cache_bytes=2**40)
        ends, budget = self.executor.end_tokens, StepBudget(largest=64)
        scheduler = Scheduler(self.manager, self.limits, budget, end_tokens=ends, speculation=speculation)
        super().__init__(PagedRunner(scheduler, self.manager, self.executor, sizing, self.limits), self.manager.check_integrity)

    def watched_moves(self):
        """The moves of all plans from now on, as they are followed."""
        moves, launch = [], self.executor.run
        self.executor.run = lambda plan: (moves.extend(plan.moves), launch(plan))[1]
        return moves

    @property
    def preemptions(self):
        return sum(report.preemptions for report in self.reports)


def architecture(name, **fields):
    """A tiny random model of one of mlx-lm's architectures, as if it had been loaded. ``fields`` are others of its configuration."""
    known = ARCHITECTURES[name]
    return LoadedModel(
        model=build(replace(known, config=known.config | fields)),
        tokenizer=None,
        end_tokens=frozenset({EOS}),
        context_length=512,
        vocab_size=VOCAB,
        weight_bytes=0,
        device="cpu",
        dtype="float32",
    )


def plain(loaded, prompt, count=12, said=()):
    """The greedy tokens of mlx-lm alone. Where ``said`` is what it finds likeliest, it is asked for all of them at once."""
    if len(said) == count and likeliest(loaded, {"it": prompt}, {"it": said}):
        return said
    bias = mx.zeros(loaded.vocab_size).at[EOS].add(-1000.0)
    steps = generate_step(mx.array(list(prompt)), loaded.model, max_tokens=count, logits_processors=[lambda _, logits: logits + bias])
    return [int(token) for (token, _), _ in zip(steps, range(count), strict=False)]


def alone(loaded, prompts, count=12, said=MappingProxyType({})):
    """The same of each of ``prompts``, by their names; what was said to some of them is looked at together."""
    whole = {name: prompt for name, prompt in prompts.items() if len(said.get(name, ())) == count}
    right = likeliest(loaded, whole, said) if whole else ()
    return {name: said[name] if name in right else plain(loaded, prompt, count) for name, prompt in prompts.items()}


def likeliest(loaded, prompts, said):
    """The names of those of whose prompts the plain model, fed all of them with what was said, finds each token said likelier than all
    others but the end.
    """
    return {name for name, logits in next_logits(loaded, prompts, said).items() if are_likeliest(logits, said[name])}


def are_likeliest(logits, tokens):
    no_end = mx.where(mx.arange(logits.shape[-1]) == EOS, -mx.inf, 0.0)
    return mx.argmax(logits + no_end, axis=-1).tolist() == list(tokens)


def next_logits(loaded, prompts, said):
    """By name the plain model's logits ``[n, vocab]`` for each of the tokens said. All are computed in one batch, filled up with zeros
    behind, which nothing before them sees.
    """
    texts = [[*prompt, *said[name][:-1]] for name, prompt in prompts.items()]
    longest = max(map(len, texts))
    batch = mx.array([text + [0] * (longest - len(text)) for text in texts])
    logits = loaded.model(batch, cache=make_prompt_cache(loaded.model))
    return {name: logits[row, len(prompt) - 1 :][: len(said[name])] for row, (name, prompt) in enumerate(prompts.items())}


class Known:
    """What the plain model says to prompts, asked once for all tests of a file; and how probable it finds that."""

    def __init__(self):
        self._known = {}  # by model, prompt and count; the models are kept beside, so that no other gets the id of one

    def alone(self, loaded, prompts, count, rig):
        """The greedy tokens of each of ``prompts``, by their names in ``rig``; the log-probabilities of its tokens have to be right, where
        they were asked for.
        """
        keys = {name: (id(loaded), tuple(prompt), count) for name, prompt in prompts.items()}
        self._ask(loaded, {name: prompt for name, prompt in prompts.items() if keys[name] not in self._known}, count, rig, keys)
        for name, key in keys.items():
            _, tokens, logprobs = self._known[key]
            said = rig.sampled.get(name, [])
            if [token.id for token in said] == tokens and said[0].logprob is not None:
                assert [token.logprob for token in said] == pytest.approx(logprobs, abs=ROUNDING), name
        return {name: self._known[key][1] for name, key in keys.items()}

    def _ask(self, loaded, prompts, count, rig, keys):
        whole = {name: prompt for name, prompt in prompts.items() if len(rig.tokens.get(name, ())) == count}
        rows = next_logits(loaded, whole, rig.tokens) if whole else {}
        for name, prompt in prompts.items():
            tokens = rig.tokens.get(name)
            if name not in rows or not are_likeliest(rows[name], tokens):
                tokens = plain(loaded, prompt, count)
                rows |= next_logits(loaded, {name: prompt}, {name: tokens})
            said = mx.take_along_axis(rows[name], mx.array(tokens)[:, None], axis=-1)[:, 0]
            self._known[keys[name]] = loaded, list(tokens), (said - mx.logsumexp(rows[name], axis=-1)).tolist()


def words(seed, count):
    """Tokens that look like nothing else."""
    return [(seed * 7919 + index * index * 31 + index) % 251 for index in range(count)]
