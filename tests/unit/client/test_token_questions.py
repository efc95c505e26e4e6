"""Questions about tokens: each is answered by its own answer, or a typed error, however the worker fares."""

import asyncio

import pytest

from mlxd.errors import InvalidRequestError, RequestError, WorkerLostError
from mlxd.types import ChatMessage
from mlxd.wire.events import Finished
from mlxd.wire.prompts import ChatPrompt, TextPrompt
from tests.support.forked import fork_workers
from tests.support.patience import PATIENCE
from tests.support.wire_requests import generate
from tests.unit.client.test_reconfigure import make, ready_worker


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    """How a worker begins is others' business: process_worker/test_loading.py, test_loss.py and test_end.py."""
    fork_workers(monkeypatch)


async def tokens(worker, text, **options):
    return await asyncio.wait_for(worker.tokenize(TextPrompt(text=text), **options), PATIENCE)


async def test_the_tokens_of_a_prompt_and_the_text_of_tokens():
    async with ready_worker() as worker:
        answer = await tokens(worker, "hé")
        assert (answer.tokens, answer.pieces) == ([104, 233], [])
        assert (await tokens(worker, "hé", with_pieces=True)).pieces == ["h", "é"]
        assert await asyncio.wait_for(worker.detokenize([104, 233]), PATIENCE) == "hé"


async def test_a_chat_is_a_prompt_too():
    async with ready_worker() as worker:
        chat = ChatPrompt(messages=[ChatMessage(role="user", content="ab")])
        assert (await asyncio.wait_for(worker.tokenize(chat), PATIENCE)).tokens == [97, 98]


async def test_what_is_wrong_with_it_is_a_typed_error():
    async with ready_worker() as worker:
        with pytest.raises(RequestError, match="the chat template refuses this") as caught:
            await tokens(worker, "bad")
        assert caught.value.param == "messages"
        with pytest.raises(InvalidRequestError, match="cannot be encoded"):
            await tokens(worker, "\ud800")
        assert (await tokens(worker, "a")).tokens == [97]


async def test_one_that_is_not_answered_holds_up_no_other_and_nobody_who_leaves_takes_another_s_answer():
    async with ready_worker() as worker:
        waiting = asyncio.ensure_future(tokens(worker, "wait"))
        leaving = asyncio.ensure_future(tokens(worker, "left"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await tokens(worker, "a")).tokens == [97]
        with worker.submit(generate("still here")) as stream:
            assert isinstance([event async for event in stream][-1], Finished)
        assert not waiting.done()
        waiting.cancel()


async def test_a_worker_that_dies_before_it_answers():
    async with ready_worker() as worker:
        waiting = asyncio.ensure_future(tokens(worker, "wait"))
        with pytest.raises(WorkerLostError):
            await tokens(worker, "die")
        with pytest.raises(WorkerLostError):
            await waiting
        with pytest.raises(WorkerLostError):
            await tokens(worker, "a")


async def test_before_its_start_there_is_nobody_to_ask():
    worker = make()
    with pytest.raises(WorkerLostError):
        await tokens(worker, "a")
    await worker.stop()
