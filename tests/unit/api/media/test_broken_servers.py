"""Answers of HTTP servers with something replaced, taken out or put in, anywhere in them: a file, or a refusal, and nothing else."""

import asyncio
import gzip
import random

from mlxd.api.media.fetch import Fetch
from mlxd.config.schema import MediaTable
from mlxd.errors import InvalidRequestError
from tests.support.media_server import HOST, PICTURE

PACKED = gzip.compress(PICTURE)
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(PICTURE) + PICTURE,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://media.test:1/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
]
PIECES = [
    *(b"\r\n", b"\r\n\r\n", b"\xff\xfe", b"9" * 20, b"Location: http://[::1]/\r\n", b"Content-Encoding: deflate\r\n"),
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: -1\r\n", b"Set-Cookie: a=b\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
]


def broken(rng):
    answer = bytearray(rng.choice(ANSWERS))
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        at, way = rng.randrange(len(answer) + 1), rng.random()
        if way < 0.4:
            answer[at : at + 1] = bytes([rng.randrange(256)])
        elif way < 0.6:
            del answer[at : at + rng.randrange(1, 8)]
        elif way < 0.9:
            answer[at:at] = rng.choice(PIECES)
        else:
            del answer[at:]
    return bytes(answer)


async def test_whatever_a_server_says_is_a_file_or_a_refusal():
    rng = random.Random(0)  # noqa: S311 - no secret
    told: list[bytes] = []

    async def say(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(told[-1])
        writer.close()

    async def lookup(_host, _port):
        return ["127.0.0.1"]

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = MediaTable(allowed_hosts=(f"{HOST}:{port}", f"{HOST}:1"))
    outcomes = []
    for _ in range(300):
        told.append(broken(rng))
        try:
            outcomes.append(bool(await Fetch(f"http://{HOST}:{port}/", settings, lambda _count: None, lookup).run()))
        except InvalidRequestError:
            outcomes.append(False)
    assert 30 < sum(outcomes) < 270
    server.close()
