"""Bodies: bounded in size and time, and parsed without guessing."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.errors import InvalidRequestError
from mlxd.listener.body import BodyLimits
from mlxd.listener.json_text import json_type, parse_json_object
from tests.support.examples import examples
from tests.unit.listener.conftest import post_bytes, read_answer


async def test_expect_continue(echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    head, _, body = post_bytes(b'{"a": 1}', Expect="100-continue").partition(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read_answer(reader))[::2] == (200, {"a": 1})
    writer.close()


async def test_other_expectations(echo):
    status, headers, body = await echo.post(b"{}", Expect="miracles")
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert "x-request-id" in headers


async def test_a_body_that_stops_arriving(echo):
    echo.limits = BodyLimits(max_size=10_000, stall=0.05)
    status, headers, body = await echo.raw(post_bytes(b'{"a": 1}', Content_Length=100))
    assert (status, body["error"]["code"], headers["connection"]) == (408, "request_body_timeout", "close")
    assert "stopped arriving for 50ms" in body["error"]["message"]


async def test_a_body_that_drips(echo):
    echo.limits = BodyLimits(max_size=10_000, stall=5, total=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(post_bytes(b"{", Content_Length=10_000))
    answer = asyncio.ensure_future(read_answer(reader))
    while not answer.done():
        writer.write(b" ")
        await asyncio.sleep(0.02)
    status, _, body = await answer
    assert (status, "not complete after 200ms" in body["error"]["message"]) == (408, True)
    writer.close()


async def test_a_broken_transfer_encoding(echo):
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, _, body = await echo.raw(head + b"zz\r\n")
    assert (status, body["error"]["code"]) == (400, "invalid_request")


async def test_a_broken_content_encoding(echo, caplog):
    status, _, body = await echo.post(b"this is no gzip", Content_Encoding="gzip")
    assert status == 400
    assert body["error"]["message"] == "the body cannot be read: it is no gzip data"
    assert caplog.records == []


@pytest.mark.parametrize("size", [10_000, 10_001])
async def test_the_limit_is_exact(echo, size):
    body = b'{"a": "' + b"x" * (size - 9) + b'"}'
    assert len(body) == size
    assert (await echo.post(body))[0] == (200 if size == 10_000 else 413)


async def test_a_declared_length_beyond_the_limit_is_refused_before_it_is_sent(echo):
    status, headers, _ = await echo.raw(post_bytes(b"", Content_Length=10**12))
    assert (status, headers["connection"]) == (413, "close")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(20), deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=3))
def test_what_is_valid_comes_back_unchanged(document):
    import json  # noqa: PLC0415

    assert parse_json_object(json.dumps(document).encode()) == document
    assert parse_json_object(json.dumps(document, ensure_ascii=False).encode()) == document


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_typed_error(data):
    try:
        assert isinstance(parse_json_object(data), dict)
    except InvalidRequestError as error:
        assert error.message  # noqa: PT017 - either is fine


def test_duplicates_deep_inside_are_found():
    with pytest.raises(InvalidRequestError, match="'b' appears twice") as caught:
        parse_json_object(b'{"a": [{"b": 1, "c": 2, "b": 3}]}')
    assert caught.value.param == "b"


def test_surrogate_pairs_are_characters():
    assert parse_json_object(rb'{"a": "\ud83d\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    ("value", "name"),
    [({}, "an object"), ([], "an array"), ("", "a string"), (True, "a boolean"), (None, "null"), (1, "a number"), (1.5, "a number")],
)
def test_json_types(value, name):
    assert json_type(value) == name
