"""load, unload, drain, restart, evict, cancel."""

import asyncio
import json
import re
from contextlib import ExitStack

import pytest

from mlxd.config.adapter_table import AdapterTable
from mlxd.control.live_requests import LiveRequest
from mlxd.types import ModelState
from mlxd.wire.messages import Progress
from tests.support.statuses import model_status, running_status


@pytest.mark.parametrize(
    ("verb", "asked", "said"),
    [
        ("load", "load", "tiny is loaded"),
        ("unload", "unload", "tiny is unloaded; the next request loads it again"),
        ("drain", "hold", "tiny is out of service until `mlxd load`"),
        ("restart", "restart", "tiny has a new worker"),
    ],
)
async def test_done_when_it_is_done(mlxd, daemon, verb, asked, said):
    ran = await mlxd(verb, "default")
    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(re.escape(said) + r" \(\d+\.\d s\)\n", ran.out)
    assert daemon.models.asked == [(asked, "tiny")]


async def test_an_id_with_a_slash(mlxd, daemon):
    assert (await mlxd("load", "org/Name-4bit")).code == 0
    assert daemon.models.asked == [("load", "org/Name-4bit")]


async def test_nobody_has_to_wait(mlxd, daemon):
    daemon.models.may_settle.clear()
    ran = await mlxd("restart", "tiny", "--no-wait")
    assert (ran.code, ran.out) == (0, "tiny: restart has begun, as operation op-1; `mlxd status` shows how far it is\n")


async def test_a_model_that_does_not_become_what_was_asked(mlxd, daemon):
    daemon.models.differs = "no config.json in /models/tiny"
    ran = await mlxd("load", "tiny")
    assert (ran.code, ran.out, ran.err) == (1, "", 'mlxd: the model "tiny": no config.json in /models/tiny\n')


async def test_while_it_waits_the_progress_is_on_standard_error(mlxd, daemon, monkeypatch):
    looked = asyncio.Event()
    listed = daemon.models.statuses

    def statuses():
        looked.set()
        return listed()

    daemon.models.all[0] = model_status("tiny", ModelState.LOADING, progress=Progress(stage="fetching", done=1, total=4))
    daemon.models.may_settle.clear()
    monkeypatch.setattr(daemon.models, "statuses", statuses)
    command = asyncio.create_task(mlxd("load", "tiny", "--json"))
    await looked.wait()
    daemon.models.may_settle.set()
    ran = await command
    assert ran.err == "tiny: fetching\n"
    assert json.loads(ran.out)["state"] == "succeeded"


async def test_evict_all(mlxd):
    ran = await mlxd("evict")
    assert ran.lines == ["tiny: 3 entries, 300 B dropped", "org/Name-4bit: 3 entries, 300 B dropped"]


async def test_evict_one(mlxd, daemon):
    assert (await mlxd("evict", "default")).lines == ["tiny: 3 entries, 300 B dropped"]
    assert daemon.models.asked == [("evict", "tiny")]


async def test_evict_of_a_model_that_is_not_ready(mlxd):
    ran = await mlxd("evict", "other")
    assert (ran.code, ran.err) == (1, "mlxd: other is loading\n")


async def test_evict_where_no_model_is_ready(mlxd, daemon):
    daemon.models.all = [model_status("other")]
    assert (await mlxd("evict")).lines == ["no model is ready, so there is no cache"]


async def test_cancel_ends_the_request_and_no_other(mlxd, daemon):
    ended = []
    with ExitStack() as there:
        for identity in ("chatcmpl-1", "chatcmpl-2"):
            live = LiveRequest(
                identity, "r", "/v1/completions", "tiny", streamed=True, stop=lambda _, identity=identity: ended.append(identity)
            )
            there.enter_context(daemon.requests.track(live))
        ran = await mlxd("cancel", "default", "chatcmpl-2")
    assert (ran.code, ran.out) == (0, "tiny: chatcmpl-2 is cancelled\n")
    assert ended == ["chatcmpl-2"]


async def test_cancel_of_a_request_that_is_gone(mlxd):
    ran = await mlxd("cancel", "tiny", "chatcmpl-9")
    assert (ran.code, ran.out) == (1, "")
    assert "chatcmpl-9" in ran.err


@pytest.mark.parametrize(
    ("verb", "said"), [("load", "tiny:sql is loaded"), ("unload", "tiny:sql is unloaded; the next request that names it loads it again")]
)
async def test_an_adapter_by_its_own_name(mlxd, daemon, verb, said):
    daemon.models.all[0] = running_status("tiny", adapters={"sql": AdapterTable(source="org/sql")})
    ran = await mlxd(verb, "tiny", "--adapter", "sql")
    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(re.escape(said) + r" \(\d+\.\d s\)\n", ran.out)
    assert daemon.models.asked == [(verb, "tiny", "sql")]
    ran = await mlxd(verb, "tiny", "--adapter", "sq/l")
    assert (ran.code, ran.err) == (1, 'mlxd: the model "tiny" has no adapter "sq/l"; there are: sql\n')
