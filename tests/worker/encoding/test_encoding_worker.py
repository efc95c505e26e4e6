"""A worker whose model makes vectors, or scores: what it is asked, and what it says."""

import gc

import mlx.core as mx
import numpy as np
import pytest

from mlxd.types import Limits, RunnerKind, Task
from mlxd.wire.events import Embedded, Failed, Finished, Started
from mlxd.wire.jobs import Score, TextPair
from mlxd.wire.messages import (
    Abort,
    AdapterRefused,
    CacheEvicted,
    Detokenize,
    Detokenized,
    Events,
    EvictCache,
    Heartbeat,
    LoadAdapter,
    LoadFailed,
    NeedsMemory,
    Reconfigure,
    Reconfigured,
    Tokenize,
    Tokenized,
)
from mlxd.wire.prompts import TextPrompt
from tests.support.tiny_encoder import CLS, OVERFLOWS, SEP, make_tiny_embedder
from tests.worker.encoding.encoding_link import embed
from tests.worker.worker_link import LIMITS, generate, in_thread

TEXTS = [f"text {number} " + "so many words " * (number % 8) for number in range(60)]


async def test_vectors_are_those_that_texts_have_alone(embedding):
    end = await embedding.embed("all", *TEXTS)
    assert isinstance(end, Finished)
    assert end.usage.prompt_tokens == sum(len(text) + 2 for text in TEXTS)
    together = embedding.vectors("all")
    for place in range(0, len(TEXTS), 7):
        await embedding.embed(f"one {place}", TEXTS[place])
        assert np.abs(embedding.vectors(f"one {place}")[0] - together[place]).max() < 1e-5
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-5
    assert np.abs(together[0] - together[1]).max() > 1e-3


async def test_requests_that_come_together_get_their_own_vectors(embedding):
    for number in range(20):
        embedding.link.send(embed(f"r{number}", *TEXTS[number : number + 1 + number % 5]))
    for number in range(20):
        assert isinstance(await embedding.link.ended(f"r{number}"), Finished)
    await embedding.embed("all", *TEXTS)
    expected = embedding.vectors("all")
    for number in range(20):
        assert np.abs(embedding.vectors(f"r{number}") - expected[number : number + 1 + number % 5]).max() < 1e-5


@pytest.fixture
def held():
    """Bytes that other models of this process have, of which no peak tells any more."""
    gc.collect()
    mx.clear_cache()
    mx.reset_peak_memory()
    return mx.get_active_memory()


async def test_what_it_is_and_takes_is_told(held, embedding):
    ready, link = embedding.ready, embedding.link
    assert (ready.runner, ready.tasks, ready.context_length, ready.vocab_size) == (RunnerKind.ENCODER, (Task.EMBED,), 128, 261)
    assert (ready.encoding.dimension, ready.encoding.least_dimension, ready.encoding.normalized) == (32, 8, True)
    assert (ready.bounds.context_length, ready.abilities) == (128, [])
    (needs,) = link.of(NeedsMemory)
    assert (needs.cache, needs.disk) == (0, 0)
    assert needs.weights > 0
    await embedding.embed("a", *TEXTS)
    beat = await link.next(Heartbeat)
    assert (beat.running, beat.waiting) == (0, 0)
    assert 0 < beat.memory.weights <= beat.memory.mlx_peak
    assert beat.memory.mlx_peak - held + beat.memory.mlx_cache - beat.memory.weights < needs.transients
    steps = [message.step for message in link.of(Events) if message.step is not None]
    assert beat.steps == len(steps)
    assert sum(step.rows for step in steps) == len(TEXTS)
    assert sum(step.tokens for step in steps) == sum(step.prompt_tokens for step in steps) == sum(len(text) + 2 for text in TEXTS)


async def test_scores_are_those_that_pairs_have_alone(reranking):
    pairs = [("which one?", text) for text in TEXTS]
    assert reranking.ready.tasks == (Task.RERANK,)
    end = await reranking.score("all", *pairs)
    assert isinstance(end, Finished)
    together = reranking.scores("all")
    assert all(0 < score < 1 for score in together)
    for place in range(0, len(pairs), 11):
        await reranking.score(f"one {place}", pairs[place])
        assert abs(reranking.scores(f"one {place}")[0] - together[place]) < 1e-5


async def test_vectors_are_shortened_and_have_the_length_1_again(embedding):
    await embedding.embed("whole", *TEXTS)
    await embedding.embed("short", *TEXTS, dimensions=10)
    whole, short = embedding.vectors("whole")[:, :10], embedding.vectors("short")
    assert np.abs(short - whole / np.linalg.norm(whole, axis=1, keepdims=True)).max() < 1e-5


@pytest.mark.parametrize(
    ("texts", "fields", "code", "param"),
    [
        (["fine", "x" * 127], {}, "context_length_exceeded", "input[1]"),
        ([[1, 2], []], {}, "invalid_request", "input[1]"),
        ([[1, 261]], {}, "invalid_request", "input[0]"),
        (["fine"], {"dimensions": 7}, "invalid_request", "dimensions"),
        (["fine"], {"dimensions": 33}, "invalid_request", "dimensions"),
        ([], {}, "invalid_request", "input"),
        (["fine", "fine", chr(OVERFLOWS) * 4], {}, "logits_not_finite", "input[2]"),
        (["fine"], {"prompt_name": "query"}, "invalid_request", "prompt_name"),
    ],
)
async def test_what_cannot_be_is_told_by_name_and_costs_nobody_else_anything(embedding, texts, fields, code, param):
    embedding.link.send(embed("bad", *texts, **fields), embed("good", "fine"))
    failed = await embedding.link.ended("bad")
    assert isinstance(failed, Failed), failed
    assert (failed.error.code, failed.error.param) == (code, param)
    assert isinstance(await embedding.link.ended("good"), Finished)


async def test_a_text_that_is_too_long_is_cut_where_that_is_asked_for(embedding):
    end = await embedding.embed("cut", "x" * 500, truncate=True)
    assert end.usage.prompt_tokens == 128
    await embedding.embed("whole", "x" * 126)
    assert np.abs(embedding.vectors("cut") - embedding.vectors("whole")).max() < 1e-6


async def test_jobs_of_other_tasks_are_refused_by_name(embedding, scripted):
    link = embedding.link
    refused = await link.ask("text", "hi")
    assert (refused.error.code, refused.error.param) == ("unsupported_task", "model")
    link.send(Score(id="score", pairs=[TextPair("a", "b")]))
    assert (await link.ended("score")).error.code == "unsupported_task"
    link.send(LoadAdapter(id="q", name="x"))
    assert (await link.next(AdapterRefused)).id == "q"
    async with in_thread() as other:
        await other.load(scripted)
        other.send(embed("vectors", "hi"))
        refused = await other.ended("vectors")
        assert (refused.error.code, refused.error.param) == ("unsupported_task", "model")
        assert isinstance(await other.ask("text", "hi"), Finished)


async def test_questions_about_tokens_are_answered_as_texts_are_encoded(embedding):
    link = embedding.link
    link.send(Tokenize(id="a", prompt=TextPrompt(text="hi"), with_pieces=True), Detokenize(id="b", token_ids=[*b"hi"]))
    told = await link.next(Tokenized)
    assert (told.tokens, told.pieces) == ([CLS, *b"hi", SEP], ["[CLS]", "h", "i", "[SEP]"])
    await link.until(lambda: link.of(Detokenized))
    assert link.of(Detokenized)[0].text == "hi"


async def test_limits_change_while_it_runs_and_there_is_no_cache(embedding):
    link = embedding.link
    link.send(Reconfigure(limits=Limits(**LIMITS | {"step_tokens": 64, "max_queue": 3})), EvictCache())
    await link.until(lambda: link.of(Reconfigured) and link.of(CacheEvicted))
    assert link.of(CacheEvicted) == [CacheEvicted(entries=0, bytes=0)]
    assert link.of(Reconfigured)[0].limits.max_queue == 3
    await embedding.embed("a", *["eight by"] * 30)
    assert max(message.step.rows for message in link.of(Events) if message.step is not None) == 6


async def test_an_aborted_request_is_silent_and_leaves_nothing(embedding):
    link = embedding.link
    link.send(embed("many", *TEXTS * 60))
    await link.until(lambda: any(isinstance(event, Embedded) for event in link.events["many"]))
    link.send(Abort(id="many"))
    assert isinstance(await embedding.embed("next", "fine"), Finished)
    before = len(link.events["many"])
    assert isinstance(await embedding.embed("last", "fine"), Finished)
    assert len(link.events["many"]) == before
    assert not any(isinstance(event, Finished | Failed) for event in link.events["many"])
    beat = await link.next(Heartbeat)
    assert (beat.running, beat.waiting) == (0, 0)


async def test_memory_stays_where_it_is_over_many_requests(embedding):
    link = embedding.link
    active = []
    for number in range(120):
        await embedding.embed(f"r{number}", *TEXTS[number % 20 : number % 20 + 1 + number % 9])
        if number % 20 == 19:
            active.append((await link.next(Heartbeat)).memory.mlx_active)
            link.forget()
    assert max(active) - min(active) < 2**13


async def test_a_worker_that_is_told_another_task_than_it_has_says_what_is_wrong(embedder, scripted):
    for source, task in ((embedder, Task.RERANK), (embedder, Task.GENERATE), (scripted, Task.RERANK)):
        async with in_thread() as link:
            failed = await link.load(source, task=task)
            assert isinstance(failed, LoadFailed), (source, task)
            assert str(source) in failed.error.message


async def test_a_task_that_is_configured_counts_and_a_draft_model_is_told_to_be_of_no_use(tmp_path):
    source = make_tiny_embedder(tmp_path / "m", least_dimension=None)
    async with in_thread() as link:
        ready = await link.load(source, task=Task.EMBED, draft="org/none")
        assert ready.runner_reason.startswith('task = "embed"')
        assert [warning for warning in ready.facts.warnings if "speculation.draft" in warning]
        link.send(embed("a", "fine", dimensions=16))
        assert (await link.ended("a")).error.code == "unsupported_parameter"
        link.send(generate("b", "hi"), embed("c", "fine"))
        assert isinstance((await link.ended("c")), Finished)
        assert [type(event) for event in link.events["c"]] == [Started, Embedded, Finished]
