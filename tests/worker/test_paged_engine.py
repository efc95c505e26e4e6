"""The continuous engine over paged attention on real MLX: everybody's tokens equal what they get alone."""

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step

from mlxd.types import CacheOutcome, SamplingParams
from mlxd.worker.engine.continuous import ContinuousEngine
from mlxd.worker.engine.events import RequestEnded, RequestFailed, RequestStarted, TokenGenerated
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.runner import TokenSampled
from mlxd.worker.engine.scheduler import Limits, Scheduler
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.prefix_index import root_digest
from mlxd.worker.runtime.loading import load
from mlxd.worker.runtime.paged.model import NotPageableError, PagedModel
from mlxd.worker.runtime.paged.runner import PagedRunner
from mlxd.worker.runtime.simple_runner import SimpleRunner
from tests.support.tiny_model import EOS, make_tiny_model
from tests.worker.test_simple_runner import RECURRENT, SLIDING

BLOCK = 4
MODELS = {
    "llama": {},
    "grouped": {"num_attention_heads": 8, "num_key_value_heads": 2},
    "tied": {"tie_word_embeddings": True},
    "sliding": SLIDING,
}
SYSTEM = list(b"You are a helpful assistant, and you answer at length, whatever you are asked, by day and by night.")
GREEDY = SamplingParams(temperature=0, logit_bias={EOS: -100})


@pytest.fixture(scope="module", params=MODELS)
def loaded(request, tmp_path_factory):
    return load(make_tiny_model(tmp_path_factory.mktemp("paged"), **MODELS[request.param]), dtype="auto", context_limit=None)


class Rig:
    def __init__(self, loaded, *, arena_blocks=64, max_arenas=4, step_tokens=24, max_sequences=16):
        self.loaded = loaded
        self.manager = Manager(block_size=BLOCK, arena_blocks=arena_blocks, max_arenas=max_arenas)
        self.model = PagedModel(loaded.model, block_size=BLOCK, arena_blocks=arena_blocks, fused=False)
        self.runner = PagedRunner(loaded, self.model, self.manager)
        limits = Limits(max_sequences=max_sequences, step_tokens=step_tokens, target_itl=0.2)
        self.scheduler = Scheduler(self.manager, limits, StepBudget(largest=64), lambda _: root_digest("tiny"))
        self.queue = RequestQueue(1000, max_sequences)
        self.engine = ContinuousEngine(self.runner, self.scheduler, self.queue, self.take)
        self.tokens, self.started, self.ended = {}, {}, {}

    def take(self, output):
        for event in output.events:
            match event:
                case TokenGenerated():
                    self.tokens.setdefault(event.id, []).append(event.token)
                case RequestStarted():
                    self.started[event.id] = event
                case RequestEnded() | RequestFailed():
                    self.ended[event.id] = event

    def add(self, name, prompt, max_tokens=12, sampling=GREEDY):
        self.queue.announce(name)
        self.queue.put(EngineRequest(name, list(prompt), max_tokens, sampling))

    def step(self):
        self.engine.step()
        self.manager.check_integrity()

    def run(self):
        while self.queue.waiting or self.queue.running or self.engine._in_flight:
            self.step()


def alone(loaded, prompt, max_tokens=12):
    bias = lambda _, logits: logits.at[:, EOS].add(-100)  # noqa: E731  mlx-lm's form of a logit bias
    steps = generate_step(
        mx.array(list(prompt)), loaded.model, mx.default_stream(mx.default_device()), max_tokens=max_tokens, logits_processors=[bias]
    )
    return [token for token, _ in steps][:max_tokens]


def test_a_mixed_batch_with_joins_shared_beginnings_and_aborts(loaded):
    rig = Rig(loaded)
    prompts = {
        "a": b"once upon a time",
        "b": SYSTEM + list(b"Who?"),
        "c": b"x",
        "d": SYSTEM + list(b"Why, oh why?"),
        "e": SYSTEM,
        "f": b"gone" * 9,
    }
    for name in ("a", "b", "f"):
        rig.add(name, prompts[name])
    for _ in range(3):
        rig.step()
    for name in ("c", "d"):
        rig.add(name, prompts[name])
    for _ in range(3):
        rig.step()
    rig.queue.withdraw("f")
    rig.add("e", prompts["e"])
    rig.run()
    assert {name: rig.tokens[name] for name in "abcde"} == {name: alone(loaded, prompts[name]) for name in "abcde"}
    assert "f" not in rig.ended
    assert rig.started["e"].cache is CacheOutcome.HIT
    assert rig.manager.counts().used == 0


def test_preempted_ones_resume_with_the_same_tokens(loaded):
    rig = Rig(loaded, arena_blocks=16, max_arenas=1, step_tokens=64)
    prompts = {str(number): b"story number %d" % number for number in range(4)}
    for name, prompt in prompts.items():
        rig.add(name, prompt, max_tokens=24)
    rig.run()
    assert rig.scheduler.preemptions > 0
    assert rig.tokens == {name: alone(loaded, prompt, 24) for name, prompt in prompts.items()}


def test_a_prompt_of_a_multiple_of_the_block_size_twice(loaded):
    rig = Rig(loaded)
    prompt = SYSTEM[: 8 * BLOCK]
    for name in ("first", "second"):
        rig.add(name, prompt)
        rig.run()
    assert rig.tokens["first"] == rig.tokens["second"] == alone(loaded, prompt)
    assert rig.started["second"].cached_tokens == 7 * BLOCK


def test_sequences_over_several_arenas(loaded):
    rig = Rig(loaded, arena_blocks=8, max_arenas=16)
    prompts = {str(number): bytes([65 + number]) * 45 for number in range(5)}
    for name, prompt in prompts.items():
        rig.add(name, prompt)
    rig.run()
    assert rig.tokens == {name: alone(loaded, prompt) for name, prompt in prompts.items()}


def test_sampled_tokens_and_penalties_are_those_of_simple_mode_whoever_shares_the_batch(loaded):
    settings = {
        "hot": SamplingParams(temperature=1.2, seed=7, top_p=0.9, logit_bias={EOS: -100}),
        "penalised": SamplingParams(temperature=0, repetition_penalty=1.3, frequency_penalty=0.5, logit_bias={EOS: -100}),
        "seeded": SamplingParams(temperature=0.8, seed=-3, top_k=20, min_p=0.02, presence_penalty=1.0, logit_bias={EOS: -100}),
        "greedy": GREEDY,
    }
    rig = Rig(loaded)
    for name, sampling in settings.items():
        rig.add(name, b"the same prompt", sampling=sampling)
    rig.run()
    simple = SimpleRunner(loaded, None)
    for name, sampling in settings.items():
        request = EngineRequest(name, list(b"the same prompt"), 12, sampling)
        assert rig.tokens[name] == [step.token for step in simple.run(request) if isinstance(step, TokenSampled)], name


def test_memory_stays_where_it_is_over_hundreds_of_requests(loaded):
    rig = Rig(loaded, arena_blocks=32, max_arenas=2)
    sizes = []
    for number in range(150):
        rig.add(str(number), b"request %d of many" % (number % 40), max_tokens=3)
        rig.run()
        sizes.append(sum(layer.arenas.nbytes for layer in rig.model.layers))
    assert sizes[50] == sizes[-1]
    assert rig.manager.pool.evicted > 0
    assert all(isinstance(event, RequestEnded) for event in rig.ended.values())


def test_a_recurrent_model_is_not_pageable(tmp_path):
    loaded = load(make_tiny_model(tmp_path, **RECURRENT), dtype="auto", context_limit=None)
    with pytest.raises(NotPageableError, match="ArraysCache"):
        PagedModel(loaded.model, block_size=BLOCK, arena_blocks=8, fused=False)


def test_writing_a_step_copies_no_arena(tmp_path):
    """MLX updates the arenas in place only while nothing else holds them."""
    loaded = load(make_tiny_model(tmp_path, max_position_embeddings=4096), dtype="auto", context_limit=None)
    rig = Rig(loaded, arena_blocks=16384, max_arenas=1)
    rig.add("a", b"warm up")
    rig.run()
    arenas = sum(layer.arenas.nbytes for layer in rig.model.layers)
    assert arenas > 30 * 2**20
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    rig.add("b", b"and go", max_tokens=8)
    rig.run()
    assert mx.get_peak_memory() - before < arenas / 4
