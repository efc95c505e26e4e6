"""Limits of keys on a real socket: 429 in time, headers on every answer, and nothing over a limit but what is under way."""

import asyncio
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.api.rate_headers import anthropic_rate_headers
from mlxd.config.key_table import KeyTable
from mlxd.control.quotas.key_use import Allowance, Allowances
from mlxd.errors import GenerationError
from tests.support.examples import examples
from tests.support.fake_registry import echo
from tests.support.patience import PATIENCE
from tests.unit.api.conftest import HELLO, serve

KEY = "key-of-agents"
HEADERS = {"Authorization": f"Bearer {KEY}"}
STREAM = HELLO | {"stream": True}


def limit(server, **limits):
    server.set_server(keys=(KeyTable(name="agents", key=KEY, **limits),))


@pytest.fixture
def limited(server):
    server.worker.script = echo
    limit(server)
    return server


async def ask(server, path="/v1/chat/completions", body=HELLO):
    return await server.answer(body, path, headers=HEADERS)


def left(headers):
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-ratelimit-")}


async def test_a_limit_on_requests(limited):
    limit(limited, requests_per_minute=2)
    for remaining in ("1", "0"):
        status, _, headers = await ask(limited)
        assert (status, headers["x-ratelimit-remaining-requests"]) == (200, remaining)
        limited.now += 10
    status, body, headers = await ask(limited)
    assert (status, body["error"]["code"], body["error"]["type"]) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert headers["Retry-After"] == "40"
    assert left(headers) == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "50s",
    }
    limited.now += 40
    assert (await ask(limited))[0] == 200


async def test_a_limit_on_tokens_counts_prompts_and_answers(limited):
    limit(limited, tokens_per_minute=10)
    assert (await ask(limited))[0] == 200  # 7 and 2
    status, _, headers = await ask(limited)  # there was one left
    assert (status, headers["x-ratelimit-remaining-tokens"]) == (200, "0")
    status, _, headers = await ask(limited)
    assert (status, headers["Retry-After"], headers["x-ratelimit-limit-tokens"]) == (429, "60", "10")
    assert limited.key_uses.current()[0].use.tokens_this_minute == 18


async def test_several_answers_are_one_request_and_all_their_tokens(limited):
    limit(limited, max_concurrent=1)
    assert (await ask(limited, body=HELLO | {"n": 3}))[0] == 200
    assert limited.key_uses.current()[0].use.requests_this_minute == 1
    assert limited.key_uses.current()[0].use.tokens_this_minute == 7 + 3 * 2


async def test_an_answer_that_is_cut_short_has_used_what_it_had(limited):
    def begin(request):
        request.started(prompt_tokens=20, cached_tokens=16)
        request.delta("two", tokens=2)

    limited.worker.script = begin
    async with limited.post(STREAM, headers=HEADERS) as response:
        request = await limited.worker.next_request()
        while b"two" not in await response.content.readuntil(b"\n\n"):
            pass
        response.close()
        await asyncio.wait_for(request.aborted.wait(), PATIENCE)
    await limited.telemetry.next_record()
    use = limited.key_uses.current()[0].use
    assert (use.used.prompt_tokens, use.used.cached_tokens, use.used.completion_tokens, use.running) == (20, 16, 2, 0)


async def test_only_so_many_are_under_way(limited):
    limited.worker.script = lambda request: request.started()
    limit(limited, max_concurrent=1)
    async with limited.post(STREAM, headers=HEADERS) as response:
        request = await limited.worker.next_request()
        status, body, headers = await ask(limited)
        assert (status, headers["Retry-After"]) == (429, "1")
        assert body["error"]["message"] == "1 requests of this key are under way, and it may have 1; try again when one is over"
        assert (await ask(limited, "/tokenize", {"prompt": "x"}))[0] == 200  # nothing is generated
        request.finish()
        await response.read()
    limited.worker.script = echo
    assert (await ask(limited))[0] == 200


async def test_not_everything_is_let_in_that_comes_before_the_first_has_begun(limited):
    limited.worker.script = None
    limit(limited, tokens_per_minute=1000)
    long = HELLO | {"messages": [{"role": "user", "content": "so long. " * 300}]}  # 2,700 characters
    waiting = [asyncio.create_task(ask(limited, body=long)) for _ in range(2)]
    requests = [await limited.worker.next_request() for _ in waiting]
    status, body, headers = await ask(limited, body=long)
    assert (status, headers["Retry-After"], headers["x-ratelimit-remaining-tokens"]) == (429, "1", "0")
    assert "tokens within a minute, and some 1" in body["error"]["message"]
    for request in requests:
        request.started(prompt_tokens=30)
        request.finish()
    assert [(await each)[0] for each in waiting] == [200, 200]
    limited.worker.script = echo
    assert (await ask(limited, body=long))[0] == 200
    assert limited.key_uses.current()[0].use.held_tokens == 0


async def test_one_that_fails_is_over(limited):
    limit(limited, max_concurrent=1)
    limited.worker.script = lambda request: request.fail(GenerationError("broken"))
    assert [(await ask(limited))[0] for _ in range(3)] == [500] * 3
    assert [(await ask(limited, body=HELLO | {"temperature": 9}))[0] for _ in range(3)] == [400] * 3
    assert limited.key_uses.current()[0].use.running == 0


async def test_the_bytes_of_a_picture_are_no_tokens_that_are_waited_for(limited):
    limited.worker.script = None
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
    limit(limited, tokens_per_minute=1000)
    asking = asyncio.create_task(ask(limited, body=HELLO | {"messages": [{"role": "user", "content": [picture]}]}))
    request = await limited.worker.next_request()
    assert 0 < limited.key_uses.current()[0].use.held_tokens < 100
    echo(request)
    assert (await asking)[0] == 200


@pytest.mark.parametrize(("path", "body"), [("/tokenize", {"prompt": "x"}), ("/detokenize", {"tokens": [65]})])
async def test_what_generates_nothing_counts_as_a_request_only(limited, path, body):
    limit(limited, requests_per_minute=1, tokens_per_minute=1)
    status, _, headers = await ask(limited, path, body)
    assert (status, headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-remaining-tokens"]) == (200, "0", "1")
    assert (await ask(limited, path, body))[0] == 429


async def test_looking_costs_nothing_and_says_what_is_left(limited):
    limit(limited, requests_per_minute=1)
    for _ in range(3):
        async with limited.session.get(f"{limited.url}/v1/models", headers=HEADERS) as response:
            assert (response.status, response.headers["x-ratelimit-remaining-requests"]) == (200, "1")
    assert (await limited.answer({}, "/v1/nothing", headers=HEADERS))[0] == 404
    assert (await ask(limited))[0] == 200


async def test_streams_and_errors_say_what_is_left_too(limited):
    limit(limited, requests_per_minute=100, tokens_per_minute=1000)
    async with limited.post(STREAM, headers=HEADERS) as response:
        assert len(left(response.headers)) == 6
    status, _, headers = await ask(limited, body=HELLO | {"model": "nothing"})
    assert (status, headers["x-ratelimit-remaining-requests"]) == (404, "98")
    assert not left((await limited.answer(HELLO))[2])  # nobody's, without a key


async def test_keys_without_limits_have_no_such_headers(limited):
    assert not left((await ask(limited))[2])


async def test_the_limits_of_one_key_are_not_another_s(limited):
    limit(limited, requests_per_minute=1)
    limited.set_server(keys=(*limited.config.server.keys, KeyTable(name="people", key="key-of-people", requests_per_minute=1)))
    assert (await ask(limited))[0] == 200
    assert (await ask(limited))[0] == 429
    assert (await limited.answer(HELLO, headers={"x-api-key": "key-of-people"}))[0] == 200


async def test_anthropic_s_clients_are_told_in_its_words(limited):
    limit(limited, requests_per_minute=1)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
    async with limited.post(body, "/v1/messages/count_tokens", headers={"x-api-key": KEY}) as response:
        assert (response.status, response.headers["anthropic-ratelimit-requests-remaining"]) == (200, "0")
    async with limited.post(body, "/v1/messages", headers={"x-api-key": KEY}) as response:
        told = await response.json()
        assert (response.status, told["type"], told["error"]["type"]) == (429, "error", "rate_limit_error")
        assert response.headers["Retry-After"] == "60"
        assert not left(response.headers)
    async with limited.post(body, "/v1/messages", headers={"x-api-key": "wrong"}) as response:
        assert (response.status, (await response.json())["error"]["type"]) == (401, "authentication_error")


def test_anthropic_s_words_for_it():
    said = anthropic_rate_headers(Allowances(requests=Allowance(limit=5, remaining=2, reset=3.2), tokens=None))
    assert {name: value for name, value in said.items() if not name.endswith("reset")} == {
        "anthropic-ratelimit-requests-limit": "5",
        "anthropic-ratelimit-requests-remaining": "2",
    }
    assert said["anthropic-ratelimit-requests-reset"].endswith("Z")


# ---- random requests, limits and reloads ----

limits = st.one_of(st.none(), st.integers(1, 5))
actions = st.one_of(
    st.just(("ask",)),
    st.tuples(st.just("delta"), st.integers(0, 9), st.integers(1, 3)),
    st.tuples(st.just("finish"), st.integers(0, 9)),
    st.tuples(st.just("leave"), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.integers(1, 45)),
    st.tuples(st.just("reload"), limits, limits, st.one_of(st.none(), st.integers(1, 20))),
    st.just(("remove",)),
)


class Client:
    """One client of one key, and a count of all it used. It knows to the token what must be refused, for whole seconds pass."""

    def __init__(self, server):
        self.server = server
        self.streams = []  # (response, the worker's request)
        self.asked, self.spent = [], []
        self.limits = {}

    def of_this_minute(self, history):
        return sum(amount for at, amount in history if self.server.now - at < 60)

    @property
    def is_over(self):
        used = {
            "max_concurrent": len(self.streams),
            "requests_per_minute": self.of_this_minute(self.asked),
            "tokens_per_minute": self.of_this_minute(self.spent),
        }
        return any(self.limits.get(name) is not None and amount >= self.limits[name] for name, amount in used.items())

    async def ask(self):
        is_over = self.is_over
        response = asyncio.create_task(self.server.session.post(f"{self.server.url}/v1/chat/completions", json=STREAM, headers=HEADERS))
        request = asyncio.create_task(self.server.worker.next_request())
        await asyncio.wait({response, request}, return_when=asyncio.FIRST_COMPLETED)
        if not request.done():
            request.cancel()
            assert (await response).status == 429
            assert is_over
            return
        assert not is_over
        self.asked.append((self.server.now, 1))
        self.spent.append((self.server.now, 3))
        request.result().started(prompt_tokens=3)
        self.streams.append((await response, request.result()))

    async def delta(self, number, tokens):
        if self.streams:
            response, request = self.streams[number % len(self.streams)]
            request.delta("x", tokens=tokens)
            await response.content.readuntil(b"\n\n")  # it has gone through the daemon
            self.spent.append((self.server.now, tokens))

    async def finish(self, number):
        if self.streams:
            response, request = self.streams.pop(number % len(self.streams))
            request.finish()
            assert b"[DONE]" in await response.read()
            await self.server.telemetry.next_record()

    async def leave(self, number):
        if self.streams:
            response, _ = self.streams.pop(number % len(self.streams))
            response.close()
            await self.server.telemetry.next_record()

    async def wait(self, seconds):
        self.server.now += seconds

    async def reload(self, *values):
        self.limits = dict(zip(("max_concurrent", "requests_per_minute", "tokens_per_minute"), values, strict=True))
        limit(self.server, **self.limits)

    async def remove(self):
        """It is gone for a moment: others ask meanwhile, and it comes back."""
        keys, other = self.server.config.server.keys, KeyTable(name=f"other-{next(names)}", key="other")
        self.server.set_server(keys=(other,))
        async with self.server.post({"prompt": "x"}, "/tokenize", headers={"x-api-key": "other"}) as response:
            assert response.status == 200
        self.server.set_server(keys=keys)


names = count()


@settings(max_examples=examples(12))
@given(st.lists(actions, min_size=5, max_size=40))
def test_never_over_a_limit_but_by_what_is_under_way_and_never_refused_below_it(steps):
    async def run():
        async with serve() as server:
            client = Client(server)
            limit(server)
            for name, *arguments in steps:
                await getattr(client, name)(*arguments)
                (known,) = server.key_uses.current()
                assert known.use.running == len(client.streams)
                assert known.use.tokens_this_minute == client.of_this_minute(client.spent)
            for response, _ in client.streams:
                response.close()

    asyncio.run(run())
