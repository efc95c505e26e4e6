"""What a draft model guesses where plans leave guesses open, over the blocks of the model it drafts for. Plans are made by hand."""

from dataclasses import replace

import mlx.core as mx
import pytest

from mlxd.types import SamplingParams
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow, SampledToken
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.kv.block_table import Run
from mlxd.worker.kv.move import Move
from mlxd.worker.runtime.draft import draft_model
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.sampling.row_sampler import RowSampler
from tests.worker.runner_rig import NEVER_ENDS, ROOT, architecture, plain

ARENAS = (Arena(0, 64),)
RUNS = {"a": (Run(0, 6), Run(20, 32)), "b": (Run(40, 64),)}
PROMPTS = {"a": b"once upon a time", "b": b"hello there, my friend"}


@pytest.fixture(scope="module")
def loaded():
    return architecture("llama")


class Drafting:
    """A draft model with the weights of the model it drafts for, of which ``PROMPTS`` ask."""

    def __init__(self, context_length=512, **sampling):
        loaded = replace(architecture("llama"), context_length=context_length)
        self.draft = DraftModel(loaded, PagedModel(loaded.model, Geometry(4, 64), fused=False))
        self.sampler = RowSampler(loaded.vocab_size, loaded.end_tokens)
        self.tokens = {name: list(prompt) for name, prompt in PROMPTS.items()}
        params = SamplingParams(**{"temperature": 0.0, "logit_bias": NEVER_ENDS} | sampling)
        for name, prompt in PROMPTS.items():
            request = EngineRequest(name, EncodedPrompt(list(prompt), 50, ROOT), params)
            self.sampler.open(request)
            self.draft.open(request)

    def prefill(self):
        chunks = tuple(Chunk(name, 0, len(prompt), tuple(prompt), RUNS[name], samples=True) for name, prompt in PROMPTS.items())
        self.draft.complete(self.plan(*chunks, prefill_tokens=sum(map(len, PROMPTS.values()))), self.sampler)

    def take(self, name, tokens):
        """The model has said ``tokens``, whatever was guessed."""
        sampled = {name: tuple(map(SampledToken, tokens))}
        self.tokens[name] += tokens
        self.draft.accept(sampled)

    def newest(self, name, drafts):
        """The chunk of a sequence's newest token, and of so many guesses."""
        start = len(self.tokens[name]) - 1
        return Chunk(name, start, 1 + drafts, tuple(self.tokens[name][-1:]), RUNS[name], samples=True, drafts=drafts)

    def guess(self, moves=(), **drafts):
        plan = self.draft.complete(self.plan(*(self.newest(name, count) for name, count in drafts.items()), moves=moves), self.sampler).plan
        for chunk in plan.chunks:
            assert chunk.tokens[0] == self.tokens[chunk.sequence][-1]
            assert (chunk.open, chunk.drafts, chunk.count) == (0, len(chunk.tokens) - 1, len(chunk.tokens))
        return {chunk.sequence: list(chunk.tokens[1:]) for chunk in plan.chunks}

    @staticmethod
    def plan(*chunks, prefill_tokens=0, moves=()):
        return StepPlan(chunks=chunks, arenas=ARENAS, prefill_tokens=prefill_tokens, moves=moves)


@pytest.fixture(scope="module")
def said(loaded):
    """What the model says, greedily."""
    return {name: plain(loaded, prompt, 24) for name, prompt in PROMPTS.items()}


def test_it_guesses_what_it_would_say_itself_however_many_guesses_were_right(loaded, said):
    drafting = Drafting()
    drafting.prefill()
    for name in PROMPTS:
        drafting.take(name, said[name][:1])
    assert drafting.guess(a=3, b=5) == {"a": said["a"][1:4], "b": said["b"][1:6]}
    drafting.take("a", said["a"][1:5])  # all were right, and one token more is known
    drafting.take("b", said["b"][1:3])  # one was
    assert drafting.guess(a=2, b=1) == {"a": said["a"][5:7], "b": said["b"][3:4]}
    drafting.take("a", [7, 8])  # something else is said than anybody guessed
    drafting.take("b", said["b"][3:5])
    assert drafting.guess(a=2, b=4) == {"a": plain(loaded, drafting.tokens["a"], 2), "b": said["b"][5:9]}


def test_sequences_of_which_nothing_is_wanted_are_left_alone_until_something_is(said):
    drafting = Drafting()
    drafting.prefill()
    drafting.take("a", said["a"][:1])
    for at in range(1, 9):
        assert drafting.guess(a=0) == {"a": []}
        drafting.take("a", said["a"][at : at + 1])
    assert drafting.guess(a=4) == {"a": said["a"][9:13]}


def test_prompts_wait_where_streams_have_wanted_no_guesses_until_somebody_wants_some(said, monkeypatch):
    monkeypatch.setattr(draft_model, "_UNWANTED", 2)
    drafting = Drafting()
    for at in range(2):
        drafting.take("a", said["a"][at : at + 1])
        drafting.guess(a=0)
    drafting.prefill()
    assert drafting.draft.nbytes == 0
    drafting.take("b", said["b"][:1])
    assert drafting.guess(b=3) == {"b": said["b"][1:4]}
    assert drafting.draft.nbytes > 0


def test_one_that_is_far_behind_catches_up_step_by_step(said, monkeypatch):
    monkeypatch.setattr(draft_model, "_MOST_BEHIND", {"cpu": 2})
    drafting = Drafting()
    found = []
    for at in range(4):
        drafting.take("b", said["b"][at : at + 1])
        found.append(drafting.guess(b=2)["b"])
    assert found == [[], [], said["b"][3:5], said["b"][4:6]]


def test_blocks_are_moved_with_what_it_has_of_them(said, monkeypatch):
    drafting = Drafting()
    drafting.prefill()
    drafting.take("b", said["b"][:1])
    drafting.guess(b=2)
    drafting.take("b", said["b"][1:3])
    here, there = (tuple(range(start, start + 6)) for start in (40, 8))
    monkeypatch.setitem(RUNS, "b", (Run(8, 14), Run(46, 64)))
    assert drafting.guess(b=3, moves=(Move(here, there),)) == {"b": said["b"][3:6]}


def test_what_is_moved_of_windows_it_has_nothing_of(said):
    """Also where no step is planned, and the moves of all groups of layers come."""
    drafting = Drafting()
    drafting.prefill()
    drafting.take("b", said["b"][:1])
    of_b = tuple(range(40, 46))
    drafting.draft.move((Move(of_b, tuple(range(8, 14)), group=1),))
    assert drafting.guess(b=3) == {"b": said["b"][1:4]}


def test_nothing_is_guessed_beyond_its_context(said):
    drafting = Drafting(context_length=len(PROMPTS["a"]) + 4)
    drafting.prefill()
    drafting.take("a", said["a"][:1])
    assert drafting.guess(a=3) == {"a": said["a"][1:4]}
    drafting.take("a", said["a"][1:3])
    assert drafting.guess(a=3) == {"a": []}
    assert drafting.guess(a=1) == {"a": said["a"][3:4]}


@pytest.mark.parametrize(
    "sampling", [{"temperature": 0.8}, {"temperature": 1.5, "top_p": 0.7}, {"temperature": 1.0, "top_k": 20, "min_p": 0.01}]
)
def test_a_guess_is_drawn_with_the_noise_of_the_token_it_is_a_guess_at(sampling):
    drafting = Drafting(seed=11, **sampling)
    drafting.prefill()
    model = PagedModel(architecture("llama").model, Geometry(4, 64), fused=False)

    def next_token():
        tokens = drafting.tokens["a"]
        chunk = Chunk("a", 0, len(tokens), tuple(tokens), RUNS["a"], samples=True)
        logits = model.forward(StepPlan(chunks=(chunk,), arenas=ARENAS), mx.array(tokens))
        return drafting.sampler.sample(logits.rows, [SampledRow("a")]).read()["a"][0].id

    drafting.take("a", [next_token()])
    (guesses,) = drafting.guess(a=6).values()
    for guess in guesses:
        drafted = next_token()
        assert drafted == guess
        drafting.take("a", [drafted])


@pytest.mark.parametrize("width", [200, 259, 300])
def test_draws_do_not_depend_on_how_wide_a_model_s_embedding_is_padded(width):
    """The same noise for the same token, whatever lies behind the tokens that both models have."""
    sampler, params = RowSampler(259, ()), SamplingParams(temperature=1.0, seed=3)
    sampler.open(EngineRequest("a", EncodedPrompt([1], 50, ROOT), params))
    logits = mx.random.normal((1, 200), key=mx.random.key(1))
    padded = mx.concatenate([logits, mx.full((1, width - 200), -20.0)], axis=1)
    target = mx.concatenate([logits, mx.full((1, 59), -20.0)], axis=1)
    for _ in range(30):
        (guess,) = sampler.draw_guesses(padded, ["a"], 0).tolist()
        assert guess == sampler.sample(target, [SampledRow("a")]).read()["a"][0].id


def test_models_that_differ_a_little_agree_about_as_often_as_they_could():
    """Of draws that share their noise at least (1 - d) / (1 + d) agree, where d is the distance of the distributions."""
    rows, vocab = 4000, 50
    one = 2 * mx.random.normal((1, vocab), key=mx.random.key(1))
    other = one + 0.5 * mx.random.normal((1, vocab), key=mx.random.key(2))
    distance = float(mx.sum(mx.abs(mx.softmax(one) - mx.softmax(other))).item()) / 2
    sampler = RowSampler(vocab, ())
    names = [str(number) for number in range(rows)]
    for name in names:
        sampler.open(EngineRequest(name, EncodedPrompt([1], 50, ROOT), SamplingParams(temperature=1.0, seed=int(name))))
    guesses = sampler.draw_guesses(mx.repeat(other, rows, axis=0), names, 0)
    drawn = sampler.sample(mx.repeat(one, rows, axis=0), [SampledRow(name) for name in names]).tokens
    agree = float(mx.mean(guesses == drawn).item())
    assert (1 - distance) / (1 + distance) - 0.03 < agree < 1 - distance + 0.03
