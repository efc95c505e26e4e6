"""Log-probabilities, echoes and ends of answers through the whole worker, in every runner."""

import msgspec
import pytest

from mlxd.types import Ability, FinishReason, Stopping
from mlxd.wire.events import Delta, Echo, Failed, Finished, Started
from mlxd.wire.messages import Ready
from mlxd.wire.output_spec import OutputSpec
from tests.support.tiny_model import EOS
from tests.worker.conftest import SCRIPT
from tests.worker.worker_link import generate, text

pytestmark = [pytest.mark.usefixtures("proved_once"), pytest.mark.asyncio(loop_scope="module")]


def asked(name, prompt="hi", *, max_tokens=30, stopping=None, logit_bias=None, **output):
    made = generate(name, prompt, max_tokens=max_tokens, logit_bias=logit_bias or {})
    return msgspec.structs.replace(made, output=OutputSpec(**output), stopping=stopping or Stopping())


async def answer(speaker, name, prompt="hi", **options):
    speaker.send(asked(name, prompt, **options))
    return await speaker.ended(name)


def told(speaker, name):
    return [one for event in speaker.events[name] if isinstance(event, Delta | Finished) for one in event.logprobs]


def said(entries):
    return b"".join(one.raw for one in entries)


async def test_their_bytes_are_the_answer(speaker):
    ended = await answer(speaker, "a", logprobs=2)
    assert said(told(speaker, "a")) == speaker.text("a").encode() == SCRIPT.encode()
    assert ended.reason is FinishReason.STOP
    assert all(one.logprob <= 0 for one in told(speaker, "a"))
    assert all(one.top[0].id == one.id and len(one.top) == 2 for one in told(speaker, "a"))
    assert {one.text for one in told(speaker, "a")} >= {"a", "\ufffd"}
    assert ended.cumulative_logprob <= sum(one.logprob for one in told(speaker, "a")) <= 0
    await answer(speaker, "plain")
    assert told(speaker, "plain") == []
    assert speaker.events["plain"][-1].cumulative_logprob is None


@pytest.mark.parametrize("include", [False, True])
async def test_they_end_where_the_text_does(speaker, include):
    ended = await answer(speaker, "a", logprobs=0, stop=["日c"], include_stop=include)
    assert ended.matched_stop == "日c"
    assert said(told(speaker, "a")) == speaker.text("a").encode() == ("ab☃é日c" if include else "ab☃é").encode()


async def test_nothing_ends_it_too_early(speaker):
    await answer(speaker, "a", stop=["b", "c"], stopping=Stopping(min_tokens=4))
    assert speaker.text("a") == "ab☃é日"


@pytest.mark.parametrize("include", [False, True])
async def test_a_token_that_ends_it_is_named_and_shown_where_that_is_asked(speaker, include):
    ended = await answer(speaker, "a", logprobs=0, stopping=Stopping(token_ids=[ord("d")]), include_stop=include)
    assert (ended.matched_token, ended.reason) == (ord("d"), FinishReason.STOP)
    assert speaker.text("a") == (SCRIPT if include else SCRIPT[:-1])
    assert said(told(speaker, "a")) == speaker.text("a").encode()
    assert ended.usage.completion_tokens == speaker.tokens("a") == len(SCRIPT.encode())
    ended = await answer(speaker, "b", stopping=Stopping(token_ids=[ord("z")]))
    assert (ended.matched_token, ended.reason, speaker.text("b")) == (None, FinishReason.STOP, SCRIPT)


async def test_a_token_that_there_is_not_is_refused_by_the_field_s_name(speaker):
    ended = await answer(speaker, "a", stopping=Stopping(token_ids=[5, 10**6]))
    assert isinstance(ended, Failed)
    assert (ended.error.code, ended.error.param) == ("invalid_request", "stop_token_ids")


async def test_an_end_that_is_ignored_has_no_text_and_goes_on(speaker):
    ended = await answer(speaker, "a", logprobs=0, stopping=Stopping(ignore_end=True), max_tokens=20, logit_bias={EOS: 1000.0})
    assert (ended.reason, ended.usage.completion_tokens, speaker.text("a"), told(speaker, "a")) == (FinishReason.LENGTH, 20, "", [])


@pytest.mark.parametrize("prompt", [text("é\nab"), list("é\nab".encode())])
@pytest.mark.parametrize("max_tokens", [0, 3])
async def test_an_echo_comes_first_and_has_the_prompt_s_own(speaker, prompt, max_tokens):
    for name in ("cold", "again"):
        ended = await answer(speaker, name, prompt, max_tokens=max_tokens, echo=True, logprobs=1)
        if Ability.PROMPT_LOGPROBS not in speaker.of(Ready)[0].abilities:
            assert (ended.error.code, ended.error.param) == ("unsupported_parameter", "echo")
            continue
        started, echo, *rest = speaker.events[name]
        assert isinstance(started, Started)
        assert isinstance(echo, Echo)
        assert said(echo.tokens) == echo.text.encode() == "é\nab".encode()
        assert [one.logprob is None for one in echo.tokens] == [True] + [False] * 4
        assert (started.cached_tokens, ended.usage.completion_tokens) == (0, max_tokens)
        assert len(rest) == max_tokens + 1
        assert not any(isinstance(event, Echo) for event in rest)
        assert echo.tokens[3].top[0].id == ord("a")  # as the script goes on after a new line


@pytest.mark.parametrize("max_tokens", [0, 3])
async def test_an_echo_without_them_is_text(speaker, max_tokens):
    ended = await answer(speaker, "a", text("x\n"), max_tokens=max_tokens, echo=True)
    assert [type(event) for event in speaker.events["a"][:2]] == [Started, Echo]
    assert (speaker.events["a"][1].text, speaker.events["a"][1].tokens) == ("x\n", [])
    assert (ended.usage.completion_tokens, ended.reason) == (max_tokens, FinishReason.LENGTH)
