"""``echo`` and ``logprobs`` of text completions, whole and streamed."""

import pytest
from msgspec.structs import replace

from mlxd.types import Ability, FinishReason
from mlxd.wire.logprobs import Candidate, TokenLogprobs
from tests.unit.api.conftest import sse_data

PATH = "/v1/completions"
ASKED = {"model": "tiny", "prompt": [[5, 6]], "echo": True, "logprobs": 1, "max_tokens": 2, "temperature": 0}


def token(text, logprob):
    top = [] if logprob is None else [Candidate(id=1, text="top", raw=b"top", logprob=-0.25)]
    return TokenLogprobs(id=1, text=text, raw=text.encode(), logprob=logprob, top=top)


def script(request):
    spec = request.generate.output
    assert spec.is_raw
    request.started()
    if spec.echo:
        request.echoed("ab", [] if spec.logprobs is None else [token("a", None), token("b", -1.0)])
    request.delta("c", 1, [token("c", -2.0)] if spec.logprobs is not None else [])
    request.delta("d", 1, [token("d", -3.0)] if spec.logprobs is not None else [])
    request.finish(reason=FinishReason.LENGTH)


EXPECTED = {
    "tokens": ["a", "b", "c", "d"],
    "token_logprobs": [None, -1.0, -2.0, -3.0],
    "top_logprobs": [None, {"top": -0.25, "b": -1.0}, {"top": -0.25, "c": -2.0}, {"top": -0.25, "d": -3.0}],
    "text_offset": [0, 1, 2, 3],
}


async def test_a_whole_answer_begins_with_its_prompt(server):
    server.worker.script = script
    status, body, _ = await server.answer(ASKED, PATH)
    assert status == 200
    assert body["choices"] == [{"index": 0, "text": "abcd", "logprobs": EXPECTED, "finish_reason": "length"}]


async def test_a_stream_says_the_same(server):
    server.worker.script = script
    async with server.post(ASKED | {"stream": True, "n": 2}, PATH) as response:
        *chunks, _ = sse_data(await response.text())
    for index in range(2):
        told = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert "".join(choice["text"] for choice in told) == "abcd"
        found = {name: [entry for choice in told if choice["logprobs"] for entry in choice["logprobs"][name]] for name in EXPECTED}
        assert found == EXPECTED
        assert [choice["finish_reason"] for choice in told] == [None, None, None, "length"]


async def test_a_prompt_s_log_probabilities_are_computed_once_for_all_of_its_answers(server):
    server.worker.script = script
    _, body, _ = await server.answer(ASKED | {"n": 2, "prompt": ["ab", "ab"]}, PATH)
    assert [request.generate.output.echo for request in server.worker.submitted] == [True, False, True, False]
    assert [choice["logprobs"] for choice in body["choices"]] == [EXPECTED] * 4
    assert [choice["text"] for choice in body["choices"]] == ["abcd"] * 4


async def test_echo_alone_and_log_probabilities_alone(server):
    server.worker.script = script
    _, body, _ = await server.answer({name: value for name, value in ASKED.items() if name != "logprobs"}, PATH)
    assert (body["choices"][0]["text"], body["choices"][0]["logprobs"]) == ("abcd", None)
    _, body, _ = await server.answer(ASKED | {"echo": False}, PATH)
    assert body["choices"][0]["text"] == "cd"
    assert body["choices"][0]["logprobs"]["text_offset"] == [0, 1]


async def test_no_tokens_are_those_of_the_prompt(server):
    def only_prompt(request):
        assert request.generate.max_tokens == 0
        request.started()
        request.echoed("ab", [token("a", None), token("b", -1.0)])
        request.finish(reason=FinishReason.LENGTH)

    server.worker.script = only_prompt
    _, body, _ = await server.answer(ASKED | {"max_tokens": 0}, PATH)
    assert body["choices"][0]["text"] == "ab"
    assert body["choices"][0]["logprobs"]["tokens"] == ["a", "b"]
    assert body["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize(
    ("abilities", "fields", "param"),
    [
        ([Ability.LOGPROBS], ASKED, "logprobs"),
        ([], ASKED | {"echo": False}, "logprobs"),
        ([], {"model": "tiny", "prompt": "a", "best_of": 2}, "best_of"),
    ],
)
async def test_what_a_runner_lacks_is_refused_by_name(server, abilities, fields, param):
    server.model.ready = replace(server.model.ready, abilities=abilities)
    status, body, _ = await server.answer(fields, PATH)
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, param, "unsupported_parameter")
