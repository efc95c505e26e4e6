"""Requests and questions that show pictures, from the wire to the engine's queue."""

import asyncio
from types import SimpleNamespace

from mlxd.types import ChatMessage, Limits, SamplingParams
from mlxd.wire.events import Failed
from mlxd.wire.jobs import Generate
from mlxd.wire.messages import Tokenize, Tokenized, Unreadable
from mlxd.wire.prompts import ChatPrompt
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.media_pool import MediaPool
from mlxd.worker.request_encoder import RequestEncoder
from mlxd.worker.sessions import Sessions
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.chat_template import ChatTemplate
from mlxd.worker.text.conversation import ChatFormat
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.token_questions import TokenQuestions
from tests.support.seeing import SEEN_ID, VOCABULARY, FakeProcessor, picture, seeing_tokenizer

TEMPLATE = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{{ '<pic>' if p.type == 'image' else p.text }}{% endfor %}{% endif %}{% endfor %}"
)


def chat(text, *media):
    return ChatPrompt(messages=[ChatMessage(role="user", content=text, media=list(media))])


class Worker:
    """The parts of a worker on its I/O thread, without an engine."""

    def __init__(self):
        chat_format = ChatFormat.of(ChatTemplate(TEMPLATE, "x.jinja", {}))
        root = CacheRoot(model="tiny")
        self.prompts = PromptEncoder(
            seeing_tokenizer(), chat_format, vocab_size=VOCABULARY, context_length=999, root=root, media=FakeProcessor()
        )
        self.queue, self.said = RequestQueue(8, capacity=8), []
        media = MediaPool(self.prompts.media)
        load = SimpleNamespace(limits=Limits())
        reader = AnswerReader(lambda tokens: "x" * len(tokens))
        self.sessions = Sessions(load, RequestEncoder(self.prompts, 4), reader, self.queue, self._take, media)
        self.questions = TokenQuestions(self.prompts, self.sessions.texts, self.sessions.tokenizing, self.said.append, media)

    def _take(self, events):
        self.said += events.events

    async def requests(self, salt="", **prompts):
        for name, prompt in prompts.items():
            self.sessions.open(Generate(id=name, prompt=prompt, sampling=SamplingParams(), max_tokens=4, salt=salt))
        await asyncio.gather(*self.sessions._entrance._entering.values())
        return {request.id: request for request in self.queue.arrivals()}

    async def answer(self, prompt):
        self.questions.ask(Tokenize(id="q", prompt=prompt))
        await asyncio.gather(*self.questions._tasks)
        return self.said.pop()


async def test_a_request_comes_with_what_it_shows_and_its_blocks_are_named_by_that():
    worker = Worker()
    arrived = await worker.requests(a=chat("ab", picture(b"123456")), b=chat("ab", picture(b"654321")), c=chat("ab", picture(b"123456")))
    assert [len(arrived["a"].prompt.media[0]), arrived["a"].prompt.inputs[0].count] == [6, 6]
    names = {name: request.chain.digests for name, request in arrived.items()}
    assert names["a"] == names["c"] != names["b"]
    worker.sessions.close()


async def test_embeddings_are_shared_as_the_prefix_cache_is():
    """They are kept by what names them: one who has a salt of its own neither finds those of others nor is found."""
    worker = Worker()
    prompt = chat("ab", picture(b"123456"))
    arrived = (
        await worker.requests(a=prompt) | await worker.requests("key:x", b=prompt, c=prompt) | await worker.requests("key:y", d=prompt)
    )
    names = {name: request.prompt.inputs[0].content for name, request in arrived.items()}
    assert names == {name: request.prompt.media[0].content for name, request in arrived.items()}
    assert names["b"] == names["c"]
    assert len({*names.values()}) == len({*(request.chain.digests[-1] for request in arrived.values())}) == 3
    worker.sessions.close()


async def test_a_bad_picture_ends_its_own_request_only():
    worker = Worker()
    arrived = await worker.requests(a=chat("a", picture(b"damaged", param="messages[0].content[0]")), b=chat("b", picture()))
    assert [*arrived] == ["b"]
    (failed,) = worker.said
    assert isinstance(failed, Failed)
    assert (failed.id, failed.error.code, failed.error.param) == ("a", "invalid_request", "messages[0].content[0]")
    worker.sessions.close()


async def test_tokens_of_pictures_are_told_as_those_of_a_request():
    worker = Worker()
    told = await worker.answer(chat("ab", picture(b"123456")))
    assert isinstance(told, Tokenized)
    assert told.tokens.count(SEEN_ID) == 6
    arrived = await worker.requests(a=chat("ab", picture(b"123456")))
    assert told.tokens == arrived["a"].tokens
    refused = await worker.answer(chat("ab", picture(b"damaged", param="part")))
    assert isinstance(refused, Unreadable)
    assert refused.error.param == "part"
    worker.sessions.close()
