"""Bad requests of all kinds: each gets a 4xx that says what is wrong, and the next good one works."""

import json
from unittest.mock import ANY

import pytest

from tests.support.fake_registry import echo
from tests.unit.api.conftest import HELLO

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
USER = {"role": "user", "content": "hi"}


def chat(**fields):
    return CHAT, HELLO | fields


def text(**fields):
    return TEXT, {"model": "tiny", "prompt": "hi"} | fields


def messages(*found):
    return chat(messages=list(found))


# path and body, status, param, a fragment of the message
BODIES = [
    (chat(model=None), 400, "model", "model is required"),
    (chat(model=5), 400, "model", "must be a string, not a number"),
    (chat(model="nope"), 404, "model", "'nope' does not exist"),
    (chat(model="nope", temperature=9), 404, "model", "does not exist"),
    (chat(messages=None), 400, "messages", "must be an array, not null"),
    (chat(messages=[]), 400, "messages", "messages must not be empty"),
    (chat(messages="hi"), 400, "messages", 'must be an array, not "hi"'),
    (messages("hi"), 400, "messages[0]", 'must be an object, not "hi"'),
    (messages(USER, {"content": "x"}), 400, "messages[1].role", "is required"),
    (messages(USER, {"role": "user"}), 400, "messages[1].content", "is required"),
    (messages({"role": "robot", "content": "x"}), 400, "messages[0].role", 'not "robot"'),
    (messages({"role": "user", "content": None}), 400, "messages[0].content", "must be a string or an array of parts, not null"),
    (messages({"role": "user", "content": []}), 400, "messages[0].content", "must not be an empty array"),
    (messages({"role": "user", "content": ["x"]}), 400, "messages[0].content[0]", "must be an object, not a string"),
    (
        messages({"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "x"}}]}),
        400,
        "messages[0].content[1].image_url.url",
        'must begin with "data:", "https://" or "http://"',
    ),
    (
        messages({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}),
        400,
        "messages[0].content[0].type",
        '"input_audio" is not supported yet',
    ),
    (messages({"role": "user", "content": [{"type": "text"}]}), 400, "messages[0].content[0].text", "is required"),
    (messages({"role": "user", "content": [{"type": "poem", "text": "x"}]}), 400, "messages[0].content[0].type", 'must be "text"'),
    (messages(USER | {"nmae": "x"}), 400, "messages[0].nmae", "unknown field"),
    (messages({"role": "assistant", "content": "x", "tool_calls": [{}]}), 400, "messages[0].tool_calls[0].function", "is required"),
    (chat(temperature=-3), 400, "temperature", "must be at least 0, not -3"),
    (chat(temperature=2.1), 400, "temperature", "must be at most 2, not 2.1"),
    (chat(temperature="0.5"), 400, "temperature", 'must be a number, not "0.5"'),
    (chat(temperature=True), 400, "temperature", "must be a number, not true"),
    (chat(temperature=10**400), 400, "temperature", "must be"),
    (chat(top_p=-1), 400, "top_p", "must be at least 0, not -1"),
    (chat(top_p=1.5), 400, "top_p", "must be at most 1"),
    (chat(top_k=-2), 400, "top_k", "must be at least -1"),
    (chat(top_k=1.5), 400, "top_k", "must be an integer, not 1.5"),
    (chat(min_p=2), 400, "min_p", "must be at most 1"),
    (chat(repetition_penalty=0), 400, "repetition_penalty", "must be at least 0.01"),
    (chat(repetition_penalty=1e-38), 400, "repetition_penalty", "must be at least 0.01"),  # every logit would be infinite
    (chat(presence_penalty=-2.5), 400, "presence_penalty", "must be at least -2"),
    (chat(frequency_penalty=[]), 400, "frequency_penalty", "must be a number, not an array"),
    (chat(seed=1.5), 400, "seed", "must be an integer, not 1.5"),
    (chat(seed=2**64), 400, "seed", "must be at most 9223372036854775807"),
    (chat(max_tokens=-2), 400, "max_tokens", "must be at least -1, not -2"),
    (chat(max_tokens=2**32), 400, "max_tokens", "must be at most 2147483647"),
    (chat(max_tokens=10**30), 400, "max_tokens", "must be at most"),
    (chat(max_tokens=5, max_completion_tokens=6), 400, "max_completion_tokens", "differ"),
    (chat(stop=5), 400, "stop", "must be a string or an array of strings, not a number"),
    (chat(stop=["a", 5]), 400, "stop[1]", "must be a string, not a number"),
    (chat(stop=["a"] * 65), 400, "stop", "at most 64 strings, not 65"),
    (chat(logit_bias={"hello": 1}), 400, "logit_bias", "must have token ids"),
    (chat(logit_bias={"01": 1}), 400, "logit_bias", "must have token ids"),
    (chat(logit_bias={"5": 101}), 400, "logit_bias.5", "must be at most 100"),
    (chat(logit_bias={"1000": 1}), 400, "logit_bias.1000", "beyond the model's vocabulary of 1000"),
    (chat(logit_bias={str(n): 1 for n in range(20_000)}), 400, "logit_bias", "at most 16384 tokens, not 20000"),
    (chat(messages=[USER] * 10_001), 400, "messages", "at most 10000 items, not 10001"),
    (messages(USER, {"role": "assistant", "content": "So"}), 400, "messages[1].role", "set continue_final_message to true"),
    (messages(USER | {"id": "x"}), 400, "messages[0].id", "unknown field messages[0].id"),
    (messages(USER | {"reasoning_content": "x"}), 400, "messages[0].reasoning_content", "not supported yet"),
    (messages({"role": "assistant", "content": "x", "prefix": True}, USER), 400, "messages[0].prefix", "for the last message"),
    (messages({"role": "user", "content": [{"type": "text", "text": "x", "ttl": 1}]}), 400, "messages[0].content[0].ttl", "unknown field"),
    (messages({"role": "user", "content": [{"type": "text", "text": "x", "y" * 10**5: 1}]}), 400, ANY, "unknown field"),
    (chat(**{"y" * 10**5: 1}), 400, ANY, "unknown field"),
    (chat(metadata="x"), 400, "metadata", "set it to an object"),
    (chat(store="yes"), 400, "store", "set it to true or false"),
    (chat(num_ctx=4096), 400, "num_ctx", "unknown field num_ctx"),
    (chat(enable_thinking=0), 400, "enable_thinking", "must be true or false, not 0"),
    (chat(logit_bias=[5]), 400, "logit_bias", "must be an object, not an array"),
    (chat(stream="yes"), 400, "stream", 'must be true or false, not "yes"'),
    (chat(stream=1), 400, "stream", "must be true or false, not 1"),
    (chat(stream_options={"include_usage": True}), 400, "stream_options", "needs stream = true"),
    (chat(stream=True, stream_options={"include": 1}), 400, "stream_options.include", "unknown field"),
    (chat(stream=True, stream_options={"include_obfuscation": True}), 400, "stream_options.include_obfuscation", "not supported yet"),
    (chat(n=0), 400, "n", "must be at least 1, not 0"),
    (chat(n=True), 400, "n", "must be an integer"),
    (chat(logprobs=1), 400, "logprobs", "must be true or false, not 1"),
    (chat(temprature=1), 400, "temprature", "did you mean temperature?"),
    (chat(max_new_tokens=1), 400, "max_new_tokens", "unknown field"),
    (chat(prompt="hi"), 400, "prompt", "unknown field"),
    ((CHAT, {"model": "tiny", "mesages": [USER]}), 400, "mesages", "did you mean messages?"),
    ((TEXT, {"model": "tiny"}), 400, "prompt", "is required"),
    (text(prompt=None), 400, "prompt", "must be a string, an array of token ids, or an array of these, not null"),
    (text(prompt=""), 400, "prompt", "must not be empty"),
    (text(prompt=[]), 400, "prompt", "must not be empty"),
    (text(prompt=[[]]), 400, "prompt[0]", "must not be empty"),
    (text(prompt=[["a"]]), 400, "prompt[0][0]", "must be a token id"),
    (text(prompt=[1, -1]), 400, "prompt[1]", "must be a token id"),
    (text(prompt=[1, True]), 400, "prompt[1]", "must be a token id"),
    (text(prompt=[1, 1000]), 400, "prompt[1]", "beyond the model's vocabulary of 1000"),
    (text(prompt={"text": "a"}), 400, "prompt", "not an object"),
    (text(max_completion_tokens=3), 400, "max_completion_tokens", "did you mean max_tokens?"),
    (text(best_of=0), 400, "best_of", "must be at least 1"),
    (text(echo=1), 400, "echo", "must be true or false"),
    (text(max_tokens=-2), 400, "max_tokens", "must be at least -1"),
    (text(suffix="x"), 400, "suffix", "not supported yet"),
    (text(logprobs=21), 400, "logprobs", "must be at most 20"),
    (text(stop_token_ids=[1] * 257), 400, "stop_token_ids", "may have at most 256 items, not 257"),
]

JSON_TYPE = {"Content-Type": "application/json"}

# what is sent as it is: body, headers, status, code, a fragment of the message
RAW = [
    (b"", JSON_TYPE, 400, "invalid_request", "the body is empty"),
    (b"{", JSON_TYPE, 400, "invalid_request", "line 1, column 2"),
    (b'{"model": "tiny",\n  "messages": oops}', JSON_TYPE, 400, "invalid_request", "line 2, column 15"),
    (b"[]", JSON_TYPE, 400, "invalid_request", "must be a JSON object, not an array"),
    (b'"hi"', JSON_TYPE, 400, "invalid_request", "must be a JSON object, not a string"),
    (b"null", JSON_TYPE, 400, "invalid_request", "must be a JSON object, not null"),
    (b'{"model": "tiny", "model": "x"}', JSON_TYPE, 400, "invalid_request", "'model' appears twice"),
    (b'{"temperature": NaN}', JSON_TYPE, 400, "invalid_request", "NaN is no JSON number"),
    (b'{"temperature": -Infinity}', JSON_TYPE, 400, "invalid_request", "-Infinity is no JSON number"),
    (b'{"temperature": 1e999}', JSON_TYPE, 400, "invalid_request", "too large"),
    (b'{"seed": ' + b"9" * 5000 + b"}", JSON_TYPE, 400, "invalid_request", "not valid JSON"),
    (b'{"model": "\xff"}', JSON_TYPE, 400, "invalid_request", "not UTF-8: invalid byte at offset 11"),
    (b'{"model": "\\ud800"}', JSON_TYPE, 400, "invalid_request", "lone surrogate"),
    (b"[" * 100_000, JSON_TYPE, 400, "invalid_request", "nested too deeply"),
    (b'{"a":' * 100_000, JSON_TYPE, 400, "invalid_request", "nested too deeply"),
    (b"\xef\xbb\xbf{}", JSON_TYPE, 400, "invalid_request", "BOM"),
    (b"model=tiny", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type", "not application/x-www-form"),
    (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type", "not text/plain"),
    (b"{}", {"Content-Type": "application/json; charset=latin-1"}, 415, "unsupported_media_type", "must be UTF-8"),
    (b"not gzip", JSON_TYPE | {"Content-Encoding": "gzip"}, 400, "invalid_request", "cannot be read"),
]


async def good_request_works(server):
    status, body, _ = await server.answer(HELLO)
    assert (status, body["choices"][0]["message"]["content"]) == (200, "hello there ")


def test_there_are_fifty_of_them():
    assert len(BODIES) + len(RAW) >= 50


def code_of(status, message):
    """OpenAI's two codes for fields, where they fit: clients take the field out, and ask again."""
    if status == 404:
        return "model_not_found"
    if "unknown field" in message:
        return "unknown_parameter"
    return "unsupported_parameter" if "not supported yet" in message else "invalid_request"


@pytest.mark.parametrize(("request_", "status", "param", "fragment"), BODIES, ids=[f"{n}-{case[2]}" for n, case in enumerate(BODIES)])
async def test_malformed_fields(server, request_, status, param, fragment):
    server.worker.script = echo
    path, body = request_
    got, answer, headers = await server.answer(body, path)
    assert got == status, answer
    assert answer["error"].keys() == {"message", "type", "param", "code"}
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["code"] == code_of(status, answer["error"]["message"])
    assert len(json.dumps(answer)) < 600
    assert (answer["error"]["param"], fragment in answer["error"]["message"]) == (param, True), answer
    assert "x-request-id" in headers
    assert server.worker.submitted == []
    await good_request_works(server)
    bad, good = server.telemetry.records
    assert (bad.outcome, bad.error, good.outcome) == ("client_error", answer["error"]["code"], "ok")
    assert len(server.telemetry.rejections) == 1


@pytest.mark.parametrize("case", RAW, ids=[case[4][:30] for case in RAW])
async def test_malformed_bodies(server, case):
    body, headers, status, code, fragment = case
    server.worker.script = echo
    async with server.session.post(server.url + CHAT, data=body, headers=headers) as response:
        answer = await response.json()
    assert (response.status, answer["error"]["code"]) == (status, code), answer
    assert fragment in answer["error"]["message"]
    assert server.telemetry.rejections == [("_unknown", code)]
    await good_request_works(server)


async def test_a_body_without_a_content_type(server):
    async with server.session.post(server.url + CHAT, data=b"{}", skip_auto_headers=["Content-Type"]) as response:
        answer = await response.json()
    assert response.status == 415
    assert "Content-Type: application/json" in answer["error"]["message"]


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
async def test_a_body_that_is_too_large(server, chunked):
    server.worker.script = echo
    server.set_server(max_body=1024)
    data = b'{"model": "' + b"x" * 4096 + b'"}'

    async def pieces():
        yield data[:2000]
        yield data[2000:]

    async with server.session.post(server.url + CHAT, data=pieces() if chunked else data, headers=JSON_TYPE) as response:
        answer = await response.json()
    assert (response.status, answer["error"]["code"]) == (413, "body_too_large")
    assert "1KiB" in answer["error"]["message"]
    await good_request_works(server)


async def test_a_compressed_body_counts_as_what_it_unpacks_to(server):
    import zlib  # noqa: PLC0415

    server.set_server(max_body=10_000)
    bomb = zlib.compress(b" " * 10_000_000)
    headers = JSON_TYPE | {"Content-Encoding": "deflate"}
    async with server.session.post(server.url + CHAT, data=bomb, headers=headers) as response:
        assert response.status == 413


@pytest.mark.parametrize(
    ("method", "path", "status", "fragment"),
    [
        ("GET", "/", 404, "no such path: /"),
        ("POST", "/chat/completions", 404, "no such path"),
        ("GET", "/v1/chat/completions", 405, "use POST"),
        ("DELETE", "/v1/models", 405, "use GET, HEAD"),
        ("GET", "/v1/models/nope", 404, "'nope' does not exist"),
    ],
)
async def test_wrong_paths_and_methods(server, method, path, status, fragment):
    async with server.session.request(method, server.url + path) as response:
        answer = await response.json()
    assert response.status == status
    assert fragment in answer["error"]["message"]
    assert ("Allow" in response.headers) == (status == 405)
    assert server.telemetry.records == []
    assert server.telemetry.rejections == [("_unknown", answer["error"]["code"])]
