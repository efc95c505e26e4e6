"""What holds for every command that talks to a daemon: how it is found, which token it shows, and what is said when that fails."""

import json

import pytest

from mlxd.errors import MlxdError
from mlxd.terminal.admin_client import AdminClient

SHA256 = "5e" * 32
READING = [("status",), ("memory",), ("requests", "tiny"), ("diff", "mlxd.toml")]
CHANGING = [
    ("diff",),
    ("reload",),
    ("reload", "--dry-run"),
    ("load", "tiny"),
    ("unload", "tiny"),
    ("drain", "tiny"),
    ("restart", "tiny", "--no-wait"),
    ("evict",),
    ("evict", "tiny"),
    ("cancel", "tiny", "chatcmpl-1"),
    ("log-level", "debug"),
]
ALL = READING + CHANGING


@pytest.fixture(autouse=True)
def config(tmp_path):
    path = tmp_path / "mlxd.toml"
    path.write_text('[models.tiny]\nsource = "builtin:smollm2-135m"\n')
    return path


def name(command):
    return " ".join(command)


@pytest.mark.parametrize("command", ALL, ids=name)
async def test_no_daemon(run, command):
    ran = await run(*command)
    assert (ran.code, ran.out) == (69, "")
    assert ran.err.startswith("mlxd: no daemon listens on unix:")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("command", ALL, ids=name)
async def test_a_token_is_needed(run, serve, command):
    ran = await run(*command, *await serve(token="secret"))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == 'mlxd: a token is required: send the header "Authorization: Bearer TOKEN"\n'


@pytest.mark.parametrize("command", ALL, ids=name)
async def test_a_wrong_token(run, serve, command, monkeypatch):
    monkeypatch.setenv("MLXD_ADMIN_TOKEN", "wrong")
    ran = await run(*command, *await serve(token="secret"))
    assert (ran.code, ran.out, ran.err) == (1, "", "mlxd: the token is not valid\n")


@pytest.mark.parametrize("command", READING, ids=name)
async def test_a_read_token_is_enough_to_read(run, serve, command, monkeypatch):
    monkeypatch.setenv("MLXD_ADMIN_TOKEN", "read")
    assert (await run(*command, *await serve(token="secret", read_token="read"))).code == 0


@pytest.mark.parametrize("command", CHANGING, ids=name)
async def test_a_read_token_changes_nothing(run, serve, command, monkeypatch):
    monkeypatch.setenv("MLXD_ADMIN_TOKEN", "read")
    ran = await run(*command, *await serve(token="secret", read_token="read"))
    assert (ran.code, ran.err) == (1, "mlxd: the token may read, and change nothing; use the full token\n")


@pytest.fixture
def shown(monkeypatch):
    """The tokens that are shown to the daemon."""
    tokens, send = [], AdminClient.send
    monkeypatch.setattr(AdminClient, "send", lambda self, *args, **kwargs: tokens.append(self.token) or send(self, *args, **kwargs))
    return tokens


async def test_the_file_gives_address_and_token_and_a_reader_takes_the_lesser(run, serve, config, shown):
    _, address = await serve(token="full", read_token="read")
    config.write_text(f'[admin]\nlisten = "{address}"\ntoken = "full"\nread_token = "read"\n')
    assert (await run("status", "--config", "mlxd.toml")).code == 0
    assert set(shown) == {"read"}
    assert (await run("evict", "--config", "mlxd.toml")).code == 0
    assert shown[-1] == "full"


async def test_an_address_on_the_command_line_wins_and_the_token_is_still_the_file_s(run, serve, config):
    config.write_text('[admin]\nlisten = "127.0.0.1:0"\ntoken = "full"\n')
    assert (await run("status", "--config", "mlxd.toml", *await serve(token="full"))).code == 0


async def test_a_file_that_is_wrong_elsewhere_still_leads_to_the_daemon(run, serve, config):
    _, address = await serve()
    config.write_text(f'[admin]\nlisten = "{address}"\n\n[server]\nlisen = 1\napi_keys = ["env:NOT_SET_HERE"]\n')
    assert (await run("status", "--config", "mlxd.toml")).code == 0


async def test_a_file_that_is_wrong_about_the_daemon(run, config):
    config.write_text('[admin]\nlisten = "nowhere"\n')
    ran = await run("status", "--config", "mlxd.toml")
    assert (ran.code, ran.out) == (78, "")
    assert ran.err.startswith("mlxd.toml:2: admin.listen")


async def test_an_address_that_is_none(run):
    ran = await run("status", "--admin", "nowhere")
    assert (ran.code, ran.err) == (64, 'mlxd: --admin: must be "HOST:PORT", "[IPV6]:PORT" or "unix:/path"\n')


@pytest.mark.parametrize("verb", ["load", "unload", "drain", "restart", "evict", "requests"])
async def test_a_model_nobody_configured(mlxd, verb):
    ran = await mlxd(verb, "nope")
    assert (ran.code, ran.out, ran.err) == (1, "", 'mlxd: no model is named "nope"\n')


@pytest.mark.parametrize("command", [command for command in ALL if command[0] != "cancel"], ids=name)
async def test_json_is_the_answer_as_it_is(mlxd, command):
    ran = await mlxd(*command, "--json")
    assert ran.code == 0
    assert isinstance(json.loads(ran.out), dict)


async def test_what_the_daemon_says_does_not_drive_the_terminal(mlxd, daemon, monkeypatch):
    async def settle(_):
        raise MlxdError("\x1b[2Jowned \x07")

    monkeypatch.setattr(daemon.models, "wait_model_settled", settle)
    ran = await mlxd("load", "tiny")
    assert (ran.code, ran.err) == (1, "mlxd: \\x1b[2Jowned \\x07\n")


async def test_an_answer_nobody_expected_is_a_bug_without_a_traceback(mlxd, monkeypatch):
    monkeypatch.setattr(AdminClient, "get", lambda *_args, **_kwargs: {"time": "2026-01-02T03:04:05Z"})
    ran = await mlxd("status")
    assert ran.code == 70
    assert ran.err.startswith("mlxd: internal error: KeyError: 'draining' (status_table.py:")
    assert ran.err.count("\n") == 1
