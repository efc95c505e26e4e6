"""Lines at the head of a system prompt that change with each request."""

import pytest

from mlxd.api.jobs import fanned_out
from mlxd.api.volatile import steady, without_volatile
from mlxd.types import ChatMessage, SamplingParams
from mlxd.wire.jobs import Generate
from mlxd.wire.prompts import ChatPrompt, TextPrompt
from tests.support.fake_registry import echo
from tests.unit.api.conftest import HELLO

PREFIXES = ("x-anthropic-billing-header:", "X-Now:")
BILLING = "x-anthropic-billing-header: cc_version=2.1.3; cc_entrypoint=cli; cch=a1b2c;"
RULES = "You are a coding agent."


def prompt(*messages):
    return ChatPrompt(messages=[ChatMessage(role=role, content=content) for role, content in messages])


def left(*messages, prefixes=PREFIXES):
    return [(message.role, message.content) for message in without_volatile(prompt(*messages), prefixes).messages]


@pytest.mark.parametrize(
    ("system", "rest"),
    [
        (f"{BILLING}\n\n{RULES}", RULES),
        (f"{BILLING}\r\n{RULES}", RULES),
        (f"\n  {BILLING.upper()}\n{RULES}", RULES),
        (f"x-now: 12:30\n{BILLING}\n\n\n{RULES}\nx-now: 12:31", f"{RULES}\nx-now: 12:31"),
        (f"{BILLING}{RULES} a=b; c", f"{RULES} a=b; c"),  # as a router joins blocks
        (f"{BILLING} and more\n{RULES}", RULES),
        ("x-now: it is late", ""),
        (f"{RULES}\n{BILLING}", f"{RULES}\n{BILLING}"),
        (f"Mind the {BILLING}", f"Mind the {BILLING}"),
        ("x-nowhere", "x-nowhere"),
        ("", ""),
    ],
)
def test_they_are_left_out_at_the_head_only(system, rest):
    expected = [("user", "hi")] if system and not rest else [("system", rest), ("user", "hi")]
    assert left(("system", system), ("user", "hi")) == expected


def test_a_message_that_is_nothing_else_goes_and_the_next_one_is_the_head():
    assert left(("system", BILLING), ("system", f"x-now: 1\n{RULES}"), ("user", "hi")) == [("system", RULES), ("user", "hi")]


@pytest.mark.parametrize(
    "messages",
    [
        [("user", f"{BILLING}\nhi")],
        [("user", "hi"), ("system", f"{BILLING}\n{RULES}")],
        [("system", RULES), ("system", f"{BILLING}\n{RULES}"), ("user", "hi")],
        [("system", RULES), ("user", BILLING), ("assistant", BILLING)],
    ],
)
def test_they_stay_elsewhere(messages):
    assert left(*messages) == messages


def test_one_message_is_left():
    assert left(("system", BILLING)) == [("system", "")]


def test_no_prefix_leaves_everything_as_it_is():
    whole = prompt(("system", BILLING), ("user", "hi"))
    assert without_volatile(whole, ()) is whole
    text = TextPrompt(text=BILLING)
    assert without_volatile(text, PREFIXES) is text


def test_every_job_of_a_request_has_the_same():
    asked = prompt(("system", f"{BILLING}\n{RULES}"), ("user", "hi"))
    jobs = fanned_out(Generate(id="x", prompt=asked, sampling=SamplingParams(), max_tokens=5), [asked], 3)
    made = steady(jobs, PREFIXES)
    assert {job.prompt.messages[0].content for job in made.all} == {RULES}
    assert ([job.id for job in made.all], made.per_prompt) == ([job.id for job in jobs.all], 3)
    assert steady(made, PREFIXES) is made


ASKED = {
    "/v1/messages": lambda system: {"model": "tiny", "system": system, "max_tokens": 5, "messages": HELLO["messages"]},
    "/v1/responses": lambda system: {"model": "tiny", "instructions": system, "input": "hi"},
    "/v1/chat/completions": lambda system: {"model": "tiny", "messages": [{"role": "system", "content": system}, *HELLO["messages"]]},
}


@pytest.mark.parametrize("path", ASKED)
async def test_requests_of_every_api_have_them_left_out_until_the_configuration_says_otherwise(server, path):
    server.worker.script = echo
    system = f"{BILLING}\n\n{RULES}"
    await server.answer(ASKED[path](system), path)
    server.set_server(volatile_prefixes=())
    await server.answer(ASKED[path](system), path)
    without, with_it = (request.generate.prompt.messages[0].content for request in server.worker.submitted)
    assert (without, with_it) == (RULES, system)


async def test_a_router_s_parts_are_one_line_and_only_the_first_is_left_out(server):
    server.worker.script = echo
    parts = [{"type": "text", "text": BILLING}, {"type": "text", "text": RULES}]
    await server.answer(ASKED["/v1/chat/completions"](parts))
    assert server.worker.submitted[0].generate.prompt.messages[0].content == RULES


async def test_tokens_are_counted_without_them(server):
    for path in ("/v1/messages/count_tokens", "/tokenize"):
        await server.answer(HELLO | {"messages": [{"role": "system", "content": f"{BILLING}\n{RULES}"}, *HELLO["messages"]]}, path)
    assert [one.messages[0].content for one in server.worker.tokenized] == [RULES, RULES]
