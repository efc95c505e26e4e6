"""status, memory, requests, log-level."""

import json
import time
from contextlib import ExitStack
from uuid import uuid4

import pytest

from mlxd.control.live_requests import LiveRequest, Stage
from mlxd.types import Usage


async def test_status(mlxd):
    ran = await mlxd("status")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[0].startswith("mlxd       0.")
    assert ran.lines[4] == "memory     300 B of 1.0 KiB reserved"
    head, *rows = ran.lines[6:]
    assert head.split()[:6] == ["MODEL", "STATE", "SINCE", "RUN", "WAIT", "MEMORY"]
    assert [row.split()[0] for row in rows] == ["tiny", "org/Name-4bit", "other"]
    assert max(map(len, ran.lines)) <= 80


async def test_status_as_json(mlxd):
    assert [model["id"] for model in json.loads((await mlxd("status", "--json")).out)["models"]] == ["tiny", "org/Name-4bit", "other"]


@pytest.mark.parametrize("arguments", [("--watch",), ("--watch", "5", "--json")])
async def test_watching_needs_a_terminal(mlxd, arguments):
    ran = await mlxd("status", *arguments)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err == "mlxd: status --watch draws on a terminal; for programs, ask for status --json again and again\n"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "often"])
async def test_an_interval_that_is_none(mlxd, seconds):
    ran = await mlxd("status", f"--watch={seconds}")
    assert ran.code == 64
    assert ran.err.endswith("mlxd status: argument --watch: must be a number of seconds from 0.1 to 86400\n")


async def test_memory(mlxd):
    ran = await mlxd("memory")
    assert ran.code == 0
    assert ran.lines[0] == "limit     1.0 KiB: 300 B reserved, 700 B free"
    assert ran.lines[1].startswith("machine   ")
    assert ran.lines[2].rstrip() == "daemon    0 B"
    assert ran.lines[3].rstrip() == "pressure  the system does not tell; nothing is done about it: memory.pressure ="
    assert [line.rstrip() for line in ran.lines[5:]] == [
        "",
        "MODEL          RESERVED   HELD  WEIGHTS  CACHE  COMPUTING  OTHER",
        "tiny              300 B  300 B    100 B   20 B       17 B  163 B",
        "org/Name-4bit       0 B  300 B    100 B   20 B       17 B  163 B",
        "other               0 B      -        -      -          -      -",
    ]


async def test_memory_as_json(mlxd):
    assert json.loads((await mlxd("memory", "--json")).out)["limit_bytes"] == 1000


def live(identity, **fields):
    return LiveRequest(identity, "r-1", "/v1/chat/completions", "tiny", stop=lambda _: None, **fields)


async def test_requests(mlxd, daemon):
    waiting = live(f"chatcmpl-{uuid4().hex}", streamed=False, stage=Stage.WAITING, arrived=time.time())
    running = live(f"chatcmpl-{uuid4().hex}", streamed=True, stage=Stage.RUNNING, arrived=time.time() - 3725)
    running.usage = lambda: Usage(prompt_tokens=300, completion_tokens=17, cached_tokens=256)
    with ExitStack() as there:
        for one in (running, waiting):
            there.enter_context(daemon.requests.track(one))
        ran = await mlxd("requests", "default")
    assert ran.code == 0
    assert ran.lines == [
        "REQUEST                                    STAGE      AGE   IN  CACHED  OUT",
        f"{running.id}  running  1h 2m  300     256   17",
        f"{waiting.id}  waiting     0s    -       -    0",
    ]


async def test_no_requests(mlxd):
    assert (await mlxd("requests", "default")).lines == ["tiny has no requests"]


async def test_log_level(mlxd, daemon):
    ran = await mlxd("log-level", "debug")
    assert (ran.code, ran.out) == (0, "logs from debug on, until the next reload\n")
    assert daemon.log_level == "debug"


async def test_a_log_level_there_is_not(mlxd, daemon):
    assert (await mlxd("log-level", "loud")).code == 64
    assert daemon.log_level == "info"


async def test_status_of_one_model(mlxd):
    ran = await mlxd("status", "tiny")
    assert (ran.code, ran.err) == (0, "")
    assert 'context     2048 tokens: config.json "max_position_embeddings"' in ran.lines
    assert json.loads((await mlxd("status", "tiny", "--json")).out)["facts"]["context_origin"] == 'config.json "max_position_embeddings"'
    assert (await mlxd("status", "tiny", "--watch")).code == 64
