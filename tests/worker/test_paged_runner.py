"""The paged runner on real MLX: everybody's tokens equal what they get alone, whoever shares the batch."""

from functools import cache

import mlx.core as mx
import msgspec
import pytest

from mlxd.errors import GenerationError
from mlxd.types import CacheOutcome, ResolvedLimits
from mlxd.worker.kv import free_extents
from mlxd.worker.kv.sizing import WindowSizes
from mlxd.worker.runtime.entries.simple_runner import SimpleRunner
from mlxd.worker.runtime.loading import load
from mlxd.worker.runtime.sampling import row_sampler
from tests.support.tiny_model import EOS, make_tiny_model
from tests.worker.broken_processor import Broken, BrokenWhenTold
from tests.worker.runner_rig import Known, PagedRig, RunnerRig, architecture, words

BLOCK = 4
# Growing, windows, sinks, layers that share keys and values, recurrent states beside, alone and in parallel.
MODELS = ["llama", "gemma3_text", "gpt_oss", "gemma4_text", "qwen3_next", "mamba2", "falcon_h1"]
KINDS = ("llama", "gpt_oss", "qwen3_next")  # of cache: growing, windows, and recurrent states beside
SYSTEM = list(b"You are a helpful assistant, and you answer at length, whatever you are asked, by day and by night.")


@pytest.fixture(scope="module")
def made():
    """A model by its name, made once."""
    return cache(architecture)


@pytest.fixture(scope="module", params=MODELS)
def loaded(request, made):
    return made(request.param)


CASES = [(name, ahead) for name in MODELS for ahead in (False, True) if ahead or name in KINDS]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request, made):
    """Every model a step ahead, which is the harder way; a step at a time one of each kind: it is the executor's affair, not a model's."""
    name, ahead = request.param
    return made(name), ahead


@pytest.fixture(scope="module")
def llama(made):
    return made("llama")


KNOWN = Known()


class Rig(PagedRig):
    """Is asked for log-probabilities, too: they tell more than tokens of what is wrong."""

    def add(self, name, prompt, **options):
        super().add(name, prompt, **({"asks": {"logprobs": 0}} | options))


def plain(loaded, prompt, count=12, *, rig, name):
    return KNOWN.alone(loaded, {name: prompt}, count, rig)[name]


def alone(loaded, prompts, count=12, *, rig):
    return KNOWN.alone(loaded, prompts, count, rig)


def test_a_mixed_batch_with_joins_shared_beginnings_and_aborts(case):
    loaded, ahead = case
    rig = Rig(loaded, ahead=ahead)
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
    rig.runner.abort("f")
    rig.add("e", prompts["e"])
    rig.run()
    expected = alone(loaded, prompts, rig=rig)
    assert {name: rig.tokens[name] for name in "abcde"} == {name: expected[name] for name in "abcde"}
    assert "f" not in rig.ended
    assert rig.started["e"].cached_tokens > 0
    assert rig.manager.counts().used == 0


def test_preempted_ones_resume_with_the_same_tokens(case):
    loaded, ahead = case
    rig = Rig(loaded, ahead=ahead, arena_blocks=16, max_arenas=1, step_tokens=64)
    prompts = {str(number): b"story number %d" % number for number in range(4)}
    for name, prompt in prompts.items():
        rig.add(name, prompt, max_tokens=16)
    rig.run()
    assert rig.preemptions > 0
    assert rig.tokens == alone(loaded, prompts, 16, rig=rig)


def test_a_prompt_of_a_multiple_of_the_block_size_twice(loaded):
    rig = Rig(loaded)
    prompt = SYSTEM[: 8 * BLOCK]
    first, cold = rig.ask(prompt)
    second, started = rig.ask(prompt)
    assert first == plain(loaded, prompt, rig=rig, name=cold.id)
    assert second == plain(loaded, prompt, rig=rig, name=started.id)
    assert started.cached_tokens == 7 * BLOCK


def test_a_conversation_goes_on_after_its_answer(loaded):
    rig = Rig(loaded)
    history = words(1, 30)
    for turn in range(3):
        answer, started = rig.ask(history, max_tokens=9)
        assert answer == plain(loaded, history, 9, rig=rig, name=started.id)
        assert started.cached_tokens >= (len(history) - 5 - 9 if turn else 0) // BLOCK * BLOCK
        history = history + answer + words(turn + 7, 5)


def test_sequences_over_several_arenas(loaded):
    rig = Rig(loaded, arena_blocks=8, max_arenas=16)
    prompts = {str(number): bytes([65 + number]) * 45 for number in range(5)}
    for name, prompt in prompts.items():
        rig.add(name, prompt)
    rig.run()
    assert rig.tokens == alone(loaded, prompts, rig=rig)


def test_blocks_are_moved_together_without_a_change(loaded, monkeypatch):
    monkeypatch.setattr(free_extents, "GAP", 0)
    rig = Rig(loaded, arena_blocks=64, max_arenas=1, step_tokens=64)
    prompts = {name: name.encode() * 3 for name in "ab"}
    for name, prompt in prompts.items():
        rig.add(name, prompt, max_tokens=36)
    moves = rig.watched_moves()
    rig.run()
    assert moves
    assert rig.tokens == alone(loaded, prompts, 36, rig=rig)


def test_the_cache_shrinks_under_load(loaded):
    rig = Rig(loaded, arena_blocks=16, max_arenas=6, step_tokens=64)
    prompts = {str(number): words(number, 20) for number in range(6)}
    for name, prompt in prompts.items():
        rig.add(name, prompt)
    for _ in range(4):
        rig.step()
    windows = [WindowSizes(group.window, 16, 32, 0) for group in rig.manager.windows]
    rig.manager.resize(capacity=2 * 16, snapshots=2, windows=windows)
    rig.run()
    assert rig.tokens == alone(loaded, prompts, rig=rig)
    rig.manager.trim()
    pools = [group.pool for group in rig.manager.groups]
    rig.model.keep(rig.manager.pool.arenas, tuple(group.pool.arenas for group in rig.manager.windows))
    assert all({arena.number for arena in pool.arenas} <= {0, 1} for pool in pools)


def test_long_shared_beginnings_are_read_once_for_all(llama):
    """Long enough for the attention that reads a shared run once."""
    rig = PagedRig(llama, arena_blocks=512, max_arenas=1, step_tokens=256)
    system = words(1, 200)
    prompts = {str(number): [*system, *words(number + 2, number + 1)] for number in range(6)}
    for name, prompt in prompts.items():
        rig.add(name, prompt, max_tokens=20)
    rig.run()
    assert rig.tokens == alone(llama, prompts, 20, rig=rig)
    assert [rig.started[name].cached_tokens for name in prompts] == [0] + [200] * 5
    assert sum(rig.chunks) <= 200 + 6 * 10


def test_who_shares_a_beginning_is_computed_in_the_step_that_computes_it(loaded):
    """One behind the other, in one pass over the model."""
    rig = Rig(loaded, arena_blocks=512, step_tokens=200)
    system = words(1, 80)
    prompts = {str(number): [*system, *words(number + 2, 3)] for number in range(10)}
    for name, prompt in prompts.items():
        rig.add(name, prompt)
    first = rig.step()
    assert first.tokens + rig.step().tokens < 80 + 10 * 8
    assert all(rig.started[name].cached_tokens >= 76 for name in list(prompts)[1:])
    rig.run()
    assert rig.tokens == alone(loaded, prompts, rig=rig)


def test_sampled_tokens_and_penalties_are_those_of_simple_mode_whoever_shares_the_batch(llama):
    settings = {
        "hot": {"temperature": 1.2, "seed": 7, "top_p": 0.9},
        "penalised": {"repetition_penalty": 1.3, "frequency_penalty": 0.5},
        "seeded": {"temperature": 0.8, "seed": -3, "top_k": 20, "min_p": 0.02, "presence_penalty": 1.0},
        "greedy": {},
    }
    rig, simple = PagedRig(llama), RunnerRig(SimpleRunner(llama, None, ResolvedLimits(cache_bytes=2**30)))
    for name, sampling in settings.items():
        rig.add(name, b"the same prompt", **sampling)
    rig.run()
    for name, sampling in settings.items():
        assert rig.tokens[name] == simple.ask(b"the same prompt", **sampling)[0], name


@pytest.mark.parametrize("broken", [Broken, BrokenWhenTold])
def test_a_fault_of_one_row_s_processor_ends_that_row_only(llama, monkeypatch, broken):
    made = row_sampler.batch_processors
    monkeypatch.setattr(row_sampler, "batch_processors", lambda *of: [*made(*of), broken()])
    rig = PagedRig(llama)
    prompts = {name: name.encode() * 5 for name in "abc"}
    for name, prompt in prompts.items():
        rig.add(name, prompt, seed=13 if name == "b" else 1)
    rig.run()
    assert isinstance(rig.failed["b"], GenerationError)
    assert "grammar" in rig.failed["b"].message
    assert len(rig.tokens["b"]) == 2
    expected = alone(llama, prompts, rig=rig)
    assert {name: rig.tokens[name] for name in "ac"} == {name: expected[name] for name in "ac"}


@pytest.mark.parametrize(
    ("kind", "when", "ahead"),
    [
        *(("llama", when, ahead) for when, ahead in ((1, True), (2, False), (2, True), (7, True))),
        *((kind, when, True) for kind in ("gpt_oss", "qwen3_next", "mamba2") for when in (2, 7)),  # every kind of cache, and a mixture
    ],
)
def test_a_fault_of_a_step_ends_its_requests_and_leaves_nothing_wrong_behind(made, monkeypatch, kind, when, ahead):
    loaded = made(kind)
    rig = Rig(loaded, ahead=ahead)
    prompts = {name: words(ord(name), 30) for name in "abc"}
    attend, calls = type(rig.model).forward, []

    def fail(self, plan, tokens):
        calls.append(plan)
        logits = attend(self, plan, tokens)
        if len(calls) == when:
            raise RuntimeError("a fault of the device")
        return logits

    with monkeypatch.context() as patch:
        patch.setattr(type(rig.model), "forward", fail)
        for name in "ab":
            rig.add(name, prompts[name])
        rig.run()
    assert rig.failed
    assert all("a fault of the device" in error.message for error in rig.failed.values())
    for name in "abc":
        answer, _ = rig.ask(prompts[name], f"{name} again", max_tokens=6)
        assert answer == plain(loaded, prompts[name], 6, rig=rig, name=f"{name} again")


def test_end_tokens_end_a_sequence(llama):
    rig = PagedRig(llama)
    rig.add("a", b"hello", max_tokens=20, logit_bias={EOS: 1000.0})
    rig.add("b", b"hello", max_tokens=20)
    rig.run()
    assert rig.tokens["a"] == [EOS]
    assert rig.tokens["b"] == plain(llama, b"hello", 20, rig=rig, name="b")


def test_memory_stays_where_it_is_over_a_hundred_requests_and_hits_stay_right(llama):
    rig = PagedRig(llama, arena_blocks=16, max_arenas=2)
    prompts = [[*SYSTEM[: 12 + number % 17], number % 40, number % 7] for number in range(80)]
    sizes, active, hits = [], [], 0
    for number in range(120):
        prompt = prompts[number * 7 % 80]
        tokens, started = rig.ask(prompt, max_tokens=2)
        assert tokens == plain(llama, prompt, 2, rig=rig, name=started.id)
        hits += started.cached_tokens > 0
        sizes.append(rig.model.nbytes)
        active.append(rig.runner.memory().mlx_active)
    assert max(sizes[60:]) == max(sizes[:60])
    assert max(active[60:]) <= max(active[:60]) + 60_000
    assert rig.manager.pool.evicted > 0
    assert 0 < hits < 120
    assert len(rig.ended) == 120


def test_arenas_of_a_cache_that_emptied_are_given_back(llama):
    rig = PagedRig(llama, arena_blocks=16, max_arenas=8)
    before = rig.runner.memory()
    for number in range(4):
        rig.add(str(number), words(number, 60))
    rig.run()
    assert rig.runner.memory().kv > 0
    assert rig.runner.evict_cached() > 0
    assert rig.runner.memory().kv == 0
    assert rig.runner.memory().mlx_active <= before.mlx_active + 10_000
    assert rig.runner.memory().mlx_cache == 0


@pytest.mark.parametrize("users", [1, 3])
def test_writing_a_step_copies_no_arena(tmp_path, users):
    """MLX updates the arenas in place only while nothing else holds them."""
    loaded = load(make_tiny_model(tmp_path, max_position_embeddings=4096), dtype="auto", context_limit=None)
    rig = PagedRig(loaded, arena_blocks=16384, max_arenas=1, spare=4 * 16384)
    rig.ask(b"warm up")
    arenas = rig.model.nbytes
    assert arenas > 30 * 2**20
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    for user in range(users):
        rig.add(str(user), b"and go"[user:], max_tokens=8)
    rig.run()
    assert mx.get_peak_memory() - before < arenas / 4


def test_a_seed_gives_the_same_draws_cold_on_a_hit_and_after_a_preemption(llama):
    sampling = {"temperature": 1.0, "top_p": 0.9, "seed": 11}
    rig = PagedRig(llama)
    cold, _ = rig.ask(SYSTEM, max_tokens=20, **sampling)
    warm, started = rig.ask(SYSTEM, max_tokens=20, **sampling)
    assert started.cache is CacheOutcome.HIT
    assert warm == cold
    tight = PagedRig(llama, arena_blocks=40, max_arenas=1, step_tokens=64)
    for name in "abc":
        tight.add(name, SYSTEM, max_tokens=20, **sampling)
    tight.add("d", words(3, 50), max_tokens=20)
    tight.run()
    assert tight.preemptions > 0
    assert {tuple(tight.tokens[name]) for name in "abc"} == {tuple(cold)}


def test_penalties_see_the_cached_part_of_the_prompt_too(llama):
    rig, penalties = PagedRig(llama), {"repetition_penalty": 1.8, "presence_penalty": 0.5, "frequency_penalty": 0.5}
    cold, _ = rig.ask(SYSTEM, max_tokens=30, **penalties)
    warm, started = rig.ask(SYSTEM, max_tokens=30, **penalties)
    assert started.cache is CacheOutcome.HIT
    assert warm == cold != rig.ask(SYSTEM, max_tokens=30)[0]


def test_limits_are_taken_over_between_steps(llama):
    rig = PagedRig(llama, max_sequences=1)
    for number in range(3):
        rig.add(str(number), words(number, 20))
    rig.step()
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, max_sequences=3))
    for _ in range(4):
        rig.step()
    assert rig.reports[-1].rows == 3


def test_sampling_does_not_leak_across_the_batch(llama):
    """Temperature 0 beside 1.5: the greedy row gets its greedy tokens."""
    rig = PagedRig(llama)
    rig.add("greedy", b"the same prompt")
    rig.add("hot", b"the same prompt", temperature=1.5, seed=3)
    rig.run()
    assert rig.tokens["greedy"] == plain(llama, b"the same prompt", rig=rig, name="greedy")
    assert rig.tokens["hot"] != rig.tokens["greedy"]


def test_nothing_of_a_sequence_is_left_when_it_is_gone(loaded):
    rig = Rig(loaded)
    for number in range(5):
        rig.add(str(number), words(number, 20), max_tokens=30)
    for _ in range(6):
        rig.step()
    for number in range(5):
        rig.runner.abort(str(number))
    while not rig.runner.is_idle:
        rig.step()
    assert not rig.executor._sampler._sequences
    assert not rig.model.states._stack_of
    assert rig.manager.counts().used == 0
