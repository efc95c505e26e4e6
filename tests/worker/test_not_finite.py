"""Logits that are NaN or infinite end their own request with a typed error, and nothing of them stays in a prefix cache."""

from functools import cache

import mlx.core as mx
import pytest

from mlxd.errors import NotFiniteError
from mlxd.types import CacheOutcome, ResolvedLimits
from mlxd.worker.runtime.entries.contiguous_runner import ContiguousRunner
from mlxd.worker.runtime.entries.prompt_cache import PromptCache
from mlxd.worker.runtime.entries.simple_runner import SimpleRunner
from mlxd.worker.runtime.sampling.finite import all_finite
from tests.support.tiny_model import EOS
from tests.worker.runner_rig import NEVER_ENDS, PagedRig, RunnerRig, architecture, plain, words

POISON = EOS  # a token that no prompt of ``words`` has, and that no answer here may have
NAN, INFINITE = float("nan"), float("inf")
SYSTEM = words(1, 24)


def paged(loaded, *, ahead=False):
    return PagedRig(loaded, ahead=ahead)


def paged_ahead(loaded):
    return PagedRig(loaded, ahead=True)


def contiguous(loaded):
    return RunnerRig(
        ContiguousRunner(
            loaded, PromptCache(max_entries=64, max_bytes=2**30), ResolvedLimits(cache_bytes=2**30, max_sequences=16, step_tokens=24)
        )
    )


def simple(loaded):
    return RunnerRig(SimpleRunner(loaded, PromptCache(max_entries=64, max_bytes=2**30), ResolvedLimits(cache_bytes=2**30)))


RUNNERS = [paged, paged_ahead, contiguous, simple]


@pytest.fixture(scope="module")
def made():
    """A model by its name, made once."""
    return cache(architecture)


def mended(loaded):
    """Gives a model, and takes back what was done to it."""
    yield loaded
    for module in (loaded.model, embedding(loaded)):
        module.__class__ = getattr(type(module), "healthy", type(module))


@pytest.fixture(params=["llama", "qwen3_next", "mamba2"])
def loaded(request, made):
    yield from mended(made(request.param))


@pytest.fixture
def llama(made):
    yield from mended(made("llama"))


def embedding(loaded):
    inner = getattr(loaded.model, "model", None) or loaded.model.backbone
    return getattr(inner, "embed_tokens", None) or inner.embeddings


def poison(loaded, value=NAN, token=POISON):
    """From now on the model computes garbage for every sequence that holds the token; returns how to mend it. Weights may be tied, so
    the embedding's own are left alone.
    """
    layer = embedding(loaded)
    kind = type(layer)

    def embed(self, tokens):
        return mx.where((tokens == token)[..., None], value, kind.__call__(self, tokens))

    layer.__class__ = type("Poisoned", (kind,), {"__call__": embed, "healthy": kind})
    return lambda: setattr(layer, "__class__", kind)


ALONE = [
    *(("llama", make, NAN) for make in RUNNERS),
    *(("llama", make, INFINITE) for make in (paged, simple)),
    *(("qwen3_next", make, NAN) for make in (paged, contiguous)),
    ("qwen3_next", simple, INFINITE),
    *(("mamba2", make, NAN) for make in (paged_ahead, simple)),
]


@pytest.mark.parametrize(("loaded", "make", "value"), ALONE, indirect=["loaded"])
def test_a_row_that_is_no_number_ends_alone(loaded, make, value):
    rig = make(loaded)
    prompts = {"a": words(3, 30), "b": [*SYSTEM, 7, 8], "bad": [*SYSTEM, 9, POISON, 4, 5, 6], "c": [*SYSTEM, 1]}
    mend = poison(loaded, value)
    for name, prompt in prompts.items():
        rig.add(name, prompt)
    rig.run()
    assert isinstance(rig.failed["bad"], NotFiniteError)
    assert "bad" not in rig.tokens
    assert set(rig.failed) == {"bad"}
    mend()
    for name in "abc":
        assert rig.tokens[name] == plain(loaded, prompts[name], said=rig.tokens[name])


@pytest.mark.parametrize("make", RUNNERS)
@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 1.0, "seed": 3},
        {"temperature": 0.7, "top_p": 0.8, "seed": 3},
        {"repetition_penalty": 1.3, "logit_bias": {**NEVER_ENDS, 5: 5.0}},
    ],
    ids=["drawn", "ranked", "penalised"],
)
def test_whatever_samples_a_row_that_is_no_number_it_ends(llama, make, sampling):
    rig = make(llama)
    poison(llama)
    rig.add("bad", [*SYSTEM, POISON], **sampling)
    rig.add("good", SYSTEM, **sampling)
    rig.run()
    assert set(rig.failed) == {"bad"}
    assert len(rig.tokens["good"]) == 12


@pytest.mark.parametrize("make", RUNNERS)
def test_one_that_turns_to_garbage_while_it_decodes_keeps_the_tokens_before(llama, make):
    rig = make(llama)
    rig.add("turns", SYSTEM)
    rig.add("stays", words(2, 9))
    expected = {"turns": plain(llama, SYSTEM), "stays": plain(llama, words(2, 9))}
    while len(rig.tokens.get("turns", ())) < 3:
        rig.step()
    poisoned = next(token for token in expected["turns"][3:] if token not in expected["stays"])
    poison(llama, token=poisoned)
    rig.run()
    assert set(rig.failed) == {"turns"}
    count = len(rig.tokens["turns"])
    assert 3 <= count < 12
    assert rig.tokens["turns"] == expected["turns"][:count]
    assert rig.tokens["stays"] == expected["stays"]


def test_what_is_no_number_leaves_the_paged_cache_and_what_lies_before_it_stays(loaded):
    rig = paged(loaded)
    poison(loaded)
    for turn in range(2):  # the second one begins with what the first has left
        rig.add(f"bad {turn}", [*SYSTEM, POISON, *words(5, 20)])
        rig.run()
        assert isinstance(rig.failed[f"bad {turn}"], NotFiniteError)
        assert all_finite(held(rig))
    tokens, started = rig.ask([*SYSTEM, *words(6, 9)])
    assert tokens == plain(loaded, [*SYSTEM, *words(6, 9)], said=tokens)
    assert started.cached_tokens in {0, len(SYSTEM)}  # a hybrid model has kept its state behind the whole prompt only
    assert rig.manager.counts().used == 0


def held(rig):
    """All keys, values and states that the prefix cache would hand out."""
    blocks = sorted(rig.manager._layers.index._key)
    tensors = [tensor for block in blocks for store in rig.model.stores for tensor in store.read(rig.model.geometry.slots(block))]
    snapshots = rig.manager.snapshots._of_block.values() if rig.manager.snapshots else ()
    return tensors + [part for snapshot in snapshots for part in rig.model.states.snapshot(snapshot)]


def test_who_shares_blocks_that_are_no_number_registers_nothing_behind_them(llama):
    """Its own blocks would be found as soon as somebody computed the blocks before them anew, right this time."""
    rig = paged(llama)
    mend = poison(llama)
    prompt = [*SYSTEM, POISON, *words(5, 47)]
    rig.add("first", prompt, max_tokens=1)
    rig.step()  # 24 tokens of it
    rig.step()
    rig.add("aborted", [*prompt, *words(8, 60)])
    while "first" not in rig.failed:
        rig.step()
    mend()
    for _ in range(2):
        rig.step()
    rig.runner.abort("aborted")
    rig.run()
    assert all_finite(held(rig))
    assert rig.ask([*prompt, *words(8, 60), 1])[0] == plain(llama, [*prompt, *words(8, 60), 1])


@pytest.mark.parametrize("make", [contiguous, simple])
def test_a_prompt_that_is_no_number_is_not_kept_even_when_its_request_was_aborted(loaded, make):
    rig = make(loaded)
    poison(loaded)
    rig.add("bad", [POISON, *words(5, 300)])
    for _ in range(3):
        rig.step()
    rig.runner.abort("bad")
    rig.run()
    assert rig.runner.cache().kept.count == 0


@pytest.mark.parametrize("make", RUNNERS)
def test_a_head_that_is_no_number_ends_every_request_and_a_mended_one_serves_on(llama, make):
    rig = make(llama)
    head = llama.model.lm_head if hasattr(llama.model, "lm_head") else embedding(llama)
    weights = getattr(head, "inner", head).weight
    healthy = mx.array(weights)
    weights[3] = NAN
    for name in "ab":
        rig.add(name, words(ord(name), 20))
    rig.run()
    assert {type(error) for error in rig.failed.values()} == {NotFiniteError}
    assert set(rig.failed) == {"a", "b"}
    weights[3] = healthy[3]
    assert rig.ask(words(ord("a"), 20), "again")[0] == plain(llama, words(ord("a"), 20))
    assert rig.started["again"].cache in {CacheOutcome.MISS, CacheOutcome.HIT, CacheOutcome.PREFIX_HIT}


@pytest.mark.parametrize("make", RUNNERS)
def test_a_token_that_is_only_impossible_is_no_fault(llama, make):
    rig = make(llama)
    call = type(llama.model).__call__

    class Masked(type(llama.model)):
        healthy = type(llama.model)

        def __call__(self, *arguments, **named):
            logits = call(self, *arguments, **named)
            return mx.where(mx.arange(logits.shape[-1]) == 5, -INFINITE, logits)

    llama.model.__class__ = Masked
    tokens, _ = rig.ask(SYSTEM, temperature=1.0, seed=1)
    assert len(tokens) == 12
    assert 5 not in tokens
