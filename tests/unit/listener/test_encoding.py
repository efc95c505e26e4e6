"""Compressed bodies: unpacked where the coding is understood, refused by name where it is not, never taken for plain text."""

import asyncio
import gzip
import json
import zlib

import pytest

from mlxd.errors import InvalidRequestError
from mlxd.listener.body import BodyLimits
from mlxd.listener.encoding import Decoder
from tests.unit.listener.conftest import post_bytes, read_answer

BODY = json.dumps({"a": "word " * 1000}).encode()


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


TAKEN = {
    "gzip": gzip.compress(BODY),
    "GZIP": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "identity": BODY,
    "": BODY,
    "gzip, identity": gzip.compress(BODY),
}


@pytest.mark.parametrize("coding", TAKEN)
async def test_codings_that_are_understood(echo, coding):
    status, _, body = await echo.post(TAKEN[coding], Content_Encoding=coding)
    assert (status, body) == (200, json.loads(BODY))


async def test_deflate_without_its_header_and_gzip_in_parts(echo):
    assert (await echo.post(raw_deflate(BODY), Content_Encoding="deflate"))[0] == 200
    assert (await echo.post(gzip.compress(BODY[:100]) + gzip.compress(BODY[100:]), Content_Encoding="gzip"))[2] == json.loads(BODY)


@pytest.mark.parametrize(
    "coding", ["br", "zstd", "compress", "x-unknown", "gzip, gzip", "gzip, zstd", "deflate,gzip", "utf-8", "ident", "*"]
)
async def test_codings_that_are_not(echo, coding):
    """The body is plain JSON each time: a reader that ignores the header would take it."""
    status, headers, body = await echo.post(b"{}", Content_Encoding=coding)
    assert (status, body["error"]["code"], headers["accept-encoding"]) == (415, "unsupported_media_type", "gzip, deflate")
    assert f'"{coding}" is not understood' in body["error"]["message"]
    assert "gzip, deflate" in body["error"]["message"]


async def test_two_headers_are_a_chain(echo):
    head = post_bytes(b"{}", Content_Encoding="identity").replace(b"Content-Encoding", b"Content-Encoding: gzip\r\nContent-Encoding")
    assert (await echo.raw(head.replace(b"identity", b"gzip")))[0] == 415


BROKEN = {
    "truncated gzip": ("gzip", gzip.compress(BODY)[:-5], "ends too early"),
    "truncated deflate": ("deflate", zlib.compress(BODY)[:-5], "ends too early"),
    "one byte": ("gzip", b"\x1f", "ends too early"),
    "plain": ("gzip", BODY, "no gzip data"),
    "plain as deflate": ("deflate", b"\xff" * 100, "no deflate data"),
    "wrong sum": ("gzip", gzip.compress(BODY)[:-8] + b"\0" * 8, "no gzip data"),
    "more behind gzip": ("gzip", gzip.compress(BODY) + b"{}{}", "no gzip data"),
    "more behind deflate": ("deflate", zlib.compress(BODY) + b"{}", "something follows"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_data_is_refused(echo, name):
    coding, data, said = BROKEN[name]
    status, _, body = await echo.post(data, Content_Encoding=coding)
    assert (status, body["error"]["code"]) == (400, "invalid_request")
    assert said in body["error"]["message"]


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_the_limit_is_of_what_it_unpacks_to(echo, pack):
    echo.limits = BodyLimits(max_size=len(BODY))
    coding = "gzip" if pack is gzip.compress else "deflate"
    assert (await echo.post(pack(BODY), Content_Encoding=coding))[0] == 200
    assert (await echo.post(pack(BODY + b" "), Content_Encoding=coding))[0] == 413
    assert (await echo.post(pack(b" " * 50_000_000), Content_Encoding=coding))[0] == 413


def test_a_bomb_is_never_unpacked_beyond_the_limit():
    bomb = gzip.compress(b" " * 100_000_000)
    assert len(Decoder(lambda _: 31, "gzip").feed(bomb, 1000)) < 300_000


def test_it_does_not_matter_how_it_arrives():
    data = gzip.compress(BODY[:7]) + gzip.compress(BODY[7:])
    for size in (1, 2, 3, 17, 1000):
        decoder = Decoder(lambda _: 31, "gzip")
        assert b"".join(decoder.feed(data[at : at + size], 10**6) for at in range(0, len(data), size)) == BODY
        decoder.finish()


def test_nothing_at_all_is_too_early_only_once_something_came():
    Decoder(lambda _: 31, "gzip").finish()
    decoder = Decoder(lambda _: 31, "gzip")
    decoder.feed(gzip.compress(BODY)[:20], 1000)
    with pytest.raises(InvalidRequestError, match="ends too early"):
        decoder.finish()


async def test_chunks_and_a_coding(echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    head = post_bytes(b"", Content_Encoding="gzip").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    data = gzip.compress(BODY)
    writer.write(head + b"".join(b"1\r\n%c\r\n" % byte for byte in data) + b"0\r\n\r\n")
    assert (await read_answer(reader))[::2] == (200, json.loads(BODY))
    writer.close()
