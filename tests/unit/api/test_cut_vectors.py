"""An answer of many vectors that has begun to go out, and cannot end."""

import asyncio

import pytest
from msgspec.structs import replace

from mlxd.types import Task
from mlxd.wire.encoding_facts import EncodingFacts
from tests.support.patience import PATIENCE

WIDTH, TEXTS = 4096, 2048  # more than sockets hold
ASKED = {"model": "vectors", "input": ["a"] * TEXTS}


@pytest.fixture
def embedding(server):
    model = server.registry.add("vectors")
    model.ready = replace(model.ready, tasks=(Task.EMBED,), encoding=EncodingFacts(most_tokens=512, dimension=WIDTH))

    def encode(request):
        request.started(cache=None)
        request.embedded(dict.fromkeys(range(TEXTS), bytes(4 * WIDTH)))
        request.finish()

    model.client.script = encode
    return server


async def test_a_client_that_does_not_read_is_cut_off_and_gets_no_second_answer(embedding):
    async with embedding.raw() as (reader, writer):
        writer.write(embedding.raw_post(ASKED, "/v1/embeddings"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 200")
        [live] = embedding.requests.of("vectors")
        embedding.requests.cancel("vectors", live.id)
        record = await embedding.telemetry.next_record()
        assert (record.outcome, record.error) == ("error", "request_cancelled")
        rest = b""
        try:
            while piece := await asyncio.wait_for(reader.read(2**20), PATIENCE):
                rest += piece
        except ConnectionError:
            pass
    assert not rest.endswith(b"0\r\n\r\n")
    assert b"HTTP/1.1" not in rest
    assert b"request_cancelled" not in rest
    assert embedding.requests.of("vectors") == []
