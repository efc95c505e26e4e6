"""Log-probabilities, echoes and ends of answers through the whole worker, in every runner."""

import msgspec
import pytest
import pytest_asyncio

from mlxd.types import Ability, FinishReason, Stopping
from mlxd.wire.events import Delta, Echo, Failed, Finished, Started
from mlxd.wire.messages import Ready
from mlxd.wire.output_spec import OutputSpec
from tests.support.tiny_model import EOS
from tests.worker.conftest import SCRIPT
from tests.worker.worker_link import MODES, generate, in_thread, text

pytestmark = pytest.mark.usefixtures("proved_once")


@pytest_asyncio.fixture(params=MODES)
async def link(scripted, request):
    async with in_thread() as link:
        await link.load(scripted, **MODES[request.param])
        yield link


def asked(name, prompt="hi", *, max_tokens=30, stopping=None, logit_bias=None, **output):
    made = generate(name, prompt, max_tokens=max_tokens, logit_bias=logit_bias or {})
    return msgspec.structs.replace(made, output=OutputSpec(**output), stopping=stopping or Stopping())


async def answer(link, name, prompt="hi", **options):
    link.send(asked(name, prompt, **options))
    return await link.ended(name)


def told(link, name):
    return [one for event in link.events[name] if isinstance(event, Delta | Finished) for one in event.logprobs]


def said(entries):
    return b"".join(one.raw for one in entries)


async def test_their_bytes_are_the_answer(link):
    ended = await answer(link, "a", logprobs=2)
    assert said(told(link, "a")) == link.text("a").encode() == SCRIPT.encode()
    assert ended.reason is FinishReason.STOP
    assert all(one.logprob <= 0 for one in told(link, "a"))
    assert all(one.top[0].id == one.id and len(one.top) == 2 for one in told(link, "a"))
    assert {one.text for one in told(link, "a")} >= {"a", "\ufffd"}
    assert ended.cumulative_logprob <= sum(one.logprob for one in told(link, "a")) <= 0
    await answer(link, "plain")
    assert told(link, "plain") == []
    assert link.events["plain"][-1].cumulative_logprob is None


@pytest.mark.parametrize("include", [False, True])
async def test_they_end_where_the_text_does(link, include):
    ended = await answer(link, "a", logprobs=0, stop=["日c"], include_stop=include)
    assert ended.matched_stop == "日c"
    assert said(told(link, "a")) == link.text("a").encode() == ("ab☃é日c" if include else "ab☃é").encode()


async def test_nothing_ends_it_too_early(link):
    await answer(link, "a", stop=["b", "c"], stopping=Stopping(min_tokens=4))
    assert link.text("a") == "ab☃é日"


@pytest.mark.parametrize("include", [False, True])
async def test_a_token_that_ends_it_is_named_and_shown_where_that_is_asked(link, include):
    ended = await answer(link, "a", logprobs=0, stopping=Stopping(token_ids=[ord("d")]), include_stop=include)
    assert (ended.matched_token, ended.reason) == (ord("d"), FinishReason.STOP)
    assert link.text("a") == (SCRIPT if include else SCRIPT[:-1])
    assert said(told(link, "a")) == link.text("a").encode()
    assert ended.usage.completion_tokens == link.tokens("a") == len(SCRIPT.encode())
    ended = await answer(link, "b", stopping=Stopping(token_ids=[ord("z")]))
    assert (ended.matched_token, ended.reason, link.text("b")) == (None, FinishReason.STOP, SCRIPT)


async def test_a_token_that_there_is_not_is_refused_by_the_field_s_name(link):
    ended = await answer(link, "a", stopping=Stopping(token_ids=[5, 10**6]))
    assert isinstance(ended, Failed)
    assert (ended.error.code, ended.error.param) == ("invalid_request", "stop_token_ids")


async def test_an_end_that_is_ignored_has_no_text_and_goes_on(link):
    ended = await answer(link, "a", logprobs=0, stopping=Stopping(ignore_end=True), max_tokens=20, logit_bias={EOS: 1000.0})
    assert (ended.reason, ended.usage.completion_tokens, link.text("a"), told(link, "a")) == (FinishReason.LENGTH, 20, "", [])


@pytest.mark.parametrize("prompt", [text("é\nab"), list("é\nab".encode())])
@pytest.mark.parametrize("max_tokens", [0, 3])
async def test_an_echo_comes_first_and_has_the_prompt_s_own(link, prompt, max_tokens):
    for name in ("cold", "again"):
        ended = await answer(link, name, prompt, max_tokens=max_tokens, echo=True, logprobs=1)
        if Ability.PROMPT_LOGPROBS not in link.of(Ready)[0].abilities:
            assert (ended.error.code, ended.error.param) == ("unsupported_parameter", "echo")
            continue
        started, echo, *rest = link.events[name]
        assert isinstance(started, Started)
        assert isinstance(echo, Echo)
        assert said(echo.tokens) == echo.text.encode() == "é\nab".encode()
        assert [one.logprob is None for one in echo.tokens] == [True] + [False] * 4
        assert (started.cached_tokens, ended.usage.completion_tokens) == (0, max_tokens)
        assert len(rest) == max_tokens + 1
        assert not any(isinstance(event, Echo) for event in rest)
        assert echo.tokens[3].top[0].id == ord("a")  # as the script goes on after a new line


@pytest.mark.parametrize("max_tokens", [0, 3])
async def test_an_echo_without_them_is_text(link, max_tokens):
    ended = await answer(link, "a", text("x\n"), max_tokens=max_tokens, echo=True)
    assert [type(event) for event in link.events["a"][:2]] == [Started, Echo]
    assert (link.events["a"][1].text, link.events["a"][1].tokens) == ("x\n", [])
    assert (ended.usage.completion_tokens, ended.reason) == (max_tokens, FinishReason.LENGTH)
