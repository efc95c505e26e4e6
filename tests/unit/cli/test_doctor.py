"""doctor: what it finds on this machine, in a configuration and at the addresses."""

import ctypes
import json
import resource
import socket
from importlib import metadata
from types import SimpleNamespace

import psutil
import pytest

from mlxd.cli import checks
from tests.support.adapter_files import write_mlx_lm
from tests.support.certificates import Authority
from tests.unit.worker_facts.encoding.copies import DATA
from tests.unit.worker_fetch.model_files import write_model

GIB = 2**30


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """One on which nothing is wrong."""
    monkeypatch.setattr(checks, "sys", SimpleNamespace(platform="linux"))
    monkeypatch.setattr(
        checks, "platform", SimpleNamespace(python_version=lambda: "3.11.7", system=lambda: "Linux", machine=lambda: "x86_64")
    )
    monkeypatch.setattr(checks, "version", lambda name: {"mlx": "0.32.4", "mlx-lm": "0.32.2"}[name])
    monkeypatch.setattr(ctypes, "CDLL", lambda _: None)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4096, 8192))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=16 * GIB))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setenv("MLXD_HOME", str(tmp_path / "mlxd"))


@pytest.fixture
def configure(tmp_path):
    """Write ``mlxd.toml``: an inference listener on ``port``, the admin listener of ``serve``, and ``text``."""

    def configure(port, text='[models.a]\nsource = "builtin:smollm2-135m"\n'):
        listeners = f'[server]\nlisten = "127.0.0.1:{port}"\n\n[admin]\nlisten = "unix:{tmp_path}/a.sock"\n\n'
        (tmp_path / "mlxd.toml").write_text(listeners + text)

    return configure


@pytest.fixture
def port():
    """One that is free."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


async def looked(run, *arguments):
    """The checks by name."""
    ran = await run("doctor", "--json", *arguments)
    document = json.loads(ran.out)
    assert ran.code == (0 if document["ok"] else 1)
    assert document["ok"] is all(check["state"] != "failed" for check in document["checks"])
    return {check["name"]: check for check in document["checks"]}


async def test_all_is_well_and_no_daemon_runs(run, configure, port, tmp_path):
    configure(port)
    ran = await run("doctor")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [
        "✓ Python: 3.11.7 on Linux x86_64",
        "✓ mlx: 0.32.4",
        "✓ mlx-lm: 0.32.2",
        "✓ OpenBLAS: libopenblas.so.0",
        "✓ open files: at most 4096",
        f"✓ Hugging Face cache: {tmp_path}/hf/hub",
        f"✓ model store: {tmp_path}/mlxd",
        "✓ configuration: mlxd.toml is valid, 1 model(s)",
        "✓ memory: memory.limit is 12 GiB of 16 GiB RAM",
        "! daemon: no daemon answers",
        f"  -> no daemon listens on unix:{tmp_path}/a.sock: start it with `mlxd --config FILE`, or name its admin address",
        f"✓ inference listener: 127.0.0.1:{port} is free",
        f"✓ admin listener: unix:{tmp_path}/a.sock is free",
    ]
    assert not (tmp_path / "a.sock.lock").exists()


async def test_a_running_daemon_holds_its_addresses(run, serve, configure):
    configure(8000)
    await serve()
    found = await looked(run)
    assert found["daemon"]["state"] == "ok"
    assert found["inference listener"]["found"] == "127.0.0.1:8000 is held by mlxd, pid 41"


async def test_a_daemon_whose_last_reload_has_failed(run, serve, daemon, configure):
    configure(8000)
    await serve()
    daemon.config_error = "mlxd.toml:3: bad"
    assert (await looked(run))["daemon"] | {"found": ""} == {
        "name": "daemon",
        "state": "failed",
        "found": "",
        "hint": "`mlxd status` says why",
    }


async def test_a_daemon_that_wants_another_token(run, serve, configure, port):
    configure(port)
    await serve(token="secret")
    found = await looked(run)
    assert found["daemon"]["state"] == "failed"
    assert found["daemon"]["found"].startswith("it refuses: a token is required")


async def test_a_daemon_of_another_version(run, serve, configure, monkeypatch):
    configure(8000)
    await serve()
    monkeypatch.setattr("mlxd.cli.listener_checks.__version__", "9.9.9")
    found = await looked(run)
    assert (found["daemon"]["state"], found["daemon"]["hint"]) == (
        "warning",
        "this is mlxd 9.9.9: restart the daemon, so that both are the same",
    )


async def test_addresses_that_others_hold(run, configure, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "a.sock"))
        unix.listen()
        unix.settimeout(0)
        configure(tcp.getsockname()[1])
        # What listens on the admin socket is no mlxd; it is another's all the same.
        found = await looked(run, "--admin", f"unix:{tmp_path}/nobody.sock")
    assert found["inference listener"]["state"] == found["admin listener"]["state"] == "failed"
    assert found["inference listener"]["found"].endswith("another program listens there; stop it, or choose another address")


async def test_a_socket_s_path_that_is_a_file(run, configure, port, tmp_path):
    configure(port)
    (tmp_path / "a.sock").touch()
    assert (await looked(run))["admin listener"]["found"] == f"{tmp_path}/a.sock exists and is no socket"


async def test_a_configuration_that_is_wrong(run, configure, port):
    configure(port, "[memory]\nlimt = 1\n")
    found = await looked(run)
    assert found["configuration"]["state"] == "failed"
    assert 'memory.limt: unknown key; did you mean "limit"?' in found["configuration"]["found"]
    assert "memory" not in found
    ran = await run("doctor")
    assert ran.lines[-1] == "  -> correct it; `mlxd validate` checks it again"


async def test_no_configuration(run):
    assert (await looked(run))["configuration"]["found"] == "mlxd.toml: no such file; name the configuration with --config"


async def test_models_that_are_directories(run, configure, port, tmp_path):
    write_model(tmp_path / "good")
    (tmp_path / "empty").mkdir()
    drafts = 'batching.mode = "continuous"\nspeculation.draft = "./gone"\n'
    encodes = f'[models.embeds]\nsource = "{DATA / "bert"}"\ncache.memory = "1GiB"\n'
    tables = "".join(f'[models.{name}]\nsource = "./{name}"\n' for name in ("empty", "gone", "good"))
    configure(port, encodes + tables + drafts)
    found = await looked(run)
    assert [found[f"model {name}"]["state"] for name in ("good", "embeds", "empty", "gone")] == ["ok", "warning", "failed", "failed"]
    assert found["model empty"]["found"].startswith(f"{tmp_path}/empty/config.json is missing")
    assert found["model gone"]["found"].startswith(f"{tmp_path}/gone does not exist")
    assert found["model good speculation.draft"]["found"].startswith(f"{tmp_path}/gone does not exist")
    assert found["model embeds"]["found"].endswith("a model that does not generate: models.embeds.cache.memory do nothing")


async def test_adapters_that_are_directories(run, configure, port, tmp_path):
    write_mlx_lm(tmp_path / "good", {"model.layers.0.self_attn.q_proj": (8, 8)})
    adapters = "".join(f'[models.a.adapters.{name}]\nsource = "./{name}"\n' for name in ("good", "gone"))
    configure(port, f'[models.a]\nsource = "org/a"\nbatching.mode = "continuous"\n{adapters}')
    found = await looked(run)
    assert (found["adapter a:good"]["state"], found["adapter a:gone"]["state"]) == ("ok", "failed")
    assert found["adapter a:good"]["found"] == "mlx-lm, 1 layers of rank 4 at most, scale 2"
    assert found["adapter a:gone"]["found"].startswith(f"{tmp_path}/gone does not exist")


@pytest.mark.parametrize(("limit", "state"), [("12GiB", "ok"), ("15GiB", "warning"), ("16GiB", "warning")])
async def test_a_limit_that_leaves_the_system_nothing(run, configure, port, limit, state):
    configure(port, f'[memory]\nlimit = "{limit}"\n\n[models.a]\nsource = "builtin:smollm2-135m"\n')
    assert (await looked(run))["memory"]["state"] == state


async def test_a_library_that_is_not_there(run, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", missing)
    assert (await looked(run))["mlx"]["state"] == "failed"


async def test_no_openblas(run, monkeypatch):
    def missing(_):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert (await looked(run))["OpenBLAS"]["state"] == "warning"


@pytest.mark.parametrize(("machine", "state"), [("arm64", "ok"), ("x86_64", "failed")])
async def test_on_a_mac(run, monkeypatch, machine, state):
    monkeypatch.setattr(checks, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(checks.platform, "machine", lambda: machine)
    found = await looked(run)
    assert found["Python"]["state"] == state
    assert "OpenBLAS" not in found


@pytest.mark.parametrize(("limit", "state"), [(256, "warning"), (1024, "ok"), (resource.RLIM_INFINITY, "ok")])
async def test_open_files(run, monkeypatch, limit, state):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert (await looked(run))["open files"]["state"] == state


async def test_a_cache_that_cannot_be_written(run, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLXD_HOME", str(tmp_path / "file" / "mlxd"))
    assert (await looked(run))["model store"]["found"] == f"{tmp_path}/file/mlxd is not writable"


async def test_a_terminal_without_the_characters(run, monkeypatch):
    monkeypatch.setattr("rich.console.Console.encoding", "ascii")
    ran = await run("doctor")
    assert {line.split()[0] for line in ran.lines if not line.startswith("  ")} == {"ok", "x"}


async def test_a_listener_s_certificate(run, configure, port, tmp_path):
    pair = Authority().issue(tmp_path, "mlx.example")
    text = f'[server.tls]\n{pair.toml}[models.a]\nsource = "builtin:smollm2-135m"\n'
    configure(port, text)
    found = (await looked(run))["inference certificate"]
    assert (found["state"], "is for mlx.example" in found["found"]) == ("ok", True)
    pair.key.chmod(0o644)
    found = (await looked(run))["inference certificate"]
    assert (found["state"], "everybody on this machine may read" in found["found"]) == ("warning", True)
    pair.key.write_text("")
    found = (await looked(run))["inference certificate"]
    assert (found["state"], "holds no private key" in found["found"]) == ("failed", True)


async def test_an_admin_certificate_that_is_not_there_is_two_checks_and_no_end(run, port, tmp_path):
    text = f'[admin]\nlisten = "127.0.0.1:{port}"\n[admin.tls]\ncertificate = "none.pem"\nkey = "none.key"\n'
    (tmp_path / "mlxd.toml").write_text(f'[server]\nlisten = "127.0.0.1:0"\n{text}[models.a]\nsource = "builtin:smollm2-135m"\n')
    found = await looked(run)
    assert (found["daemon"]["state"], "none.pem" in found["daemon"]["hint"]) == ("warning", True)
    assert (found["admin certificate"]["state"], "does not exist" in found["admin certificate"]["found"]) == ("failed", True)
