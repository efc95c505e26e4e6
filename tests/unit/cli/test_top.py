"""``mlxd top`` on a real terminal, against a real admin API; keys, a daemon that goes away and comes back, and how it ends."""

import dataclasses
import re
import signal
import socket

import pytest

from mlxd.config.schema import AdminTable
from mlxd.control.live_requests import LiveRequest, Stage
from mlxd.control.telemetry import HistogramCounts, TokenCounters
from mlxd.types import ModelState, Usage
from tests.support.statuses import model_status

ALTERNATE_SCREEN, BACK = "\x1b[?1049h", "\x1b[?1049l"
CURSOR = "\x1b[?25h"


@pytest.fixture
def top(terminal, tmp_path):
    return lambda *more, **environment: terminal("top", "--interval", "0.1", "--admin", f"unix:{tmp_path}/a.sock", *more, **environment)


def live_request(identity, model, **fields):
    return LiveRequest(
        id=identity, request_id="r", endpoint="completions", model=model, streamed=True, stop=lambda _: None, stage=Stage.RUNNING, **fields
    )


def used(tokens):
    return lambda: Usage(prompt_tokens=50, completion_tokens=tokens, cached_tokens=48)


async def test_it_shows_what_the_daemon_computes_now(listen, top, daemon):
    await listen()
    screen = top()
    await screen.until("no request ended in the last minute")
    daemon.tokens = TokenCounters(prompt=4000, generated=1000)
    daemon.first_tokens = HistogramCounts((0.1, 1.0), (0, 10, 0))
    await screen.until("p50 550 ms   p95 955 ms   10 requests")


async def test_requests_are_those_of_the_chosen_model(listen, top, daemon):
    await listen()
    request = live_request("chatcmpl-1", "org/Name-4bit", usage=used(7))
    with daemon.requests.track(request):
        screen = top()
        await screen.until("no requests")
        screen.type("j")
        await screen.until("chatcmpl-1  running")
        request.usage = used(1234)
        await screen.until("1,234")
        screen.type("k")
        await screen.until("no requests")


async def test_keys(listen, top):
    await listen()
    screen = top()
    await screen.until("sort: file")
    screen.type("s")
    await screen.until("sort: tok/s")
    screen.type("?")
    await screen.until("hold the picture still")
    screen.type("\x1b")
    await screen.until("MODEL")
    screen.type("\x1b[B")
    await screen.until("▶ org/Name-4bit")
    screen.type("p")
    await screen.until("paused")
    screen.type("q")
    assert await screen.end() == 0


async def test_it_follows_a_daemon_that_goes_away_and_another_that_comes(listen, top, daemon):
    daemon.tokens = TokenCounters(generated=1_000_000)
    listener = await listen()
    screen = top()
    await screen.until("org/Name-4bit")
    await listener.stop()
    await screen.until("no answer for")
    daemon.models.all[1] = model_status("another", ModelState.FAILED, last_error="no config.json")
    daemon.tokens = TokenCounters(generated=3)
    await listen()
    await screen.until("another: no config.json")
    screen.type("q")
    assert await screen.end() == 0
    assert "Traceback" not in screen.raw


async def test_keys_work_while_the_daemon_hangs(listen, top, tmp_path):
    listener = await listen()
    screen = top()
    await screen.until("org/Name-4bit")
    await listener.stop()
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / "a.sock"))
        hanging.listen()
        await screen.until("no answer for")
        screen.type("?")
        await screen.until("hold the picture still")
        screen.type("q")
        assert await screen.end() == 0


async def test_a_terminal_that_changes_its_size_is_drawn_anew_at_once(listen, terminal, tmp_path):
    await listen()
    screen = terminal("top", "--interval", "60", "--admin", f"unix:{tmp_path}/a.sock")
    await screen.until("quit")
    screen.resize(30, 40)
    screen.process.send_signal(signal.SIGWINCH)
    await screen.until("40 columns are too few")


async def test_the_first_answer_must_come(top):
    screen = top()
    assert await screen.end() == 69
    assert "no daemon listens on" in screen.raw
    assert ALTERNATE_SCREEN not in screen.raw


async def test_a_wrong_token_is_said_before_anything_is_drawn(serve, terminal, tmp_path):
    await serve(token="right")
    screen = terminal("top", "--admin", f"unix:{tmp_path}/a.sock", MLXD_ADMIN_TOKEN="wrong")
    assert await screen.end() == 1
    assert ALTERNATE_SCREEN not in screen.raw


async def test_the_token_that_may_only_read_is_enough(serve, terminal, tmp_path):
    table = AdminTable(listen=f"unix:{tmp_path}/a.sock", token="right", read_token="reader")
    await serve(token=table.token, read_token=table.read_token)
    config = tmp_path / "mlxd.toml"
    config.write_text(f'[admin]\nlisten = "unix:{tmp_path}/a.sock"\ntoken = "right"\nread_token = "reader"\n')
    screen = terminal("top", "--config", str(config))
    await screen.until("org/Name-4bit")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(lambda screen: screen.type("q"), 0, id="q"),
        pytest.param(lambda screen: screen.process.send_signal(signal.SIGINT), 0, id="Ctrl-C"),
        pytest.param(lambda screen: screen.process.send_signal(signal.SIGTERM), 128 + signal.SIGTERM, id="TERM"),
        pytest.param(lambda screen: screen.process.send_signal(signal.SIGHUP), 128 + signal.SIGHUP, id="HUP"),
    ],
)
async def test_the_terminal_is_as_it_was_however_it_ends(listen, top, end, code):
    await listen()
    screen = top()
    await screen.until("org/Name-4bit")
    assert screen.is_raw
    assert screen.interrupts
    end(screen)
    assert await screen.end() == code
    assert not screen.is_raw
    assert screen.raw.count(ALTERNATE_SCREEN) == screen.raw.count(BACK) == 1
    assert screen.raw.rstrip().endswith(CURSOR)
    assert "Traceback" not in screen.raw


async def test_an_answer_of_another_version_is_a_defect_that_is_explained(listen, top, daemon):
    await listen()
    screen = top()
    await screen.until("org/Name-4bit")
    daemon.models.statuses = lambda: [dataclasses.replace(daemon.models.all[0], name=3)]
    assert await screen.end() == 70
    assert "internal error" in screen.raw
    assert not screen.is_raw


async def test_without_colour(listen, top):
    await listen()
    screen = top(NO_COLOR="1")
    await screen.until("org/Name-4bit")
    screen.type("q")
    await screen.end()
    assert "\x1b[1m" in screen.raw
    assert not re.findall(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9\d)(?:;\d+)*m", screen.raw)


async def test_it_needs_a_terminal(mlxd):
    ran = await mlxd("top")
    assert (ran.code, "draws on a terminal" in ran.err) == (64, True)


@pytest.mark.parametrize("arguments", [("--json",), ("--interval", "0"), ("--interval", "soon"), ("--admin", "nowhere")])
async def test_usage(terminal, arguments):
    assert await terminal("top", *arguments).end() == 64


async def test_a_dumb_terminal_is_none(terminal):
    assert await terminal("top", TERM="dumb").end() == 64
