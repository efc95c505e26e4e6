"""A hundred edits, a third of them wrong, while somebody uses model A: everything is real but the workers."""

import http.client
import json
import socket

import tomli_w

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.load import ConstantLoad
from tests.support.examples import examples
from tests.support.patience import PATIENCE
from tests.support.random_edits import BAD_SOURCES, GOOD_SOURCES, RandomEdits

EDITS = examples(100)
SEED = 20261124
KEY = "the-load's"
STATUSES = {"good": (200,), "broken": (422,), "failing": (500,)}


def test_a_hundred_edits_do_not_disturb_model_a(tmp_path):
    daemon = DaemonProcess(tmp_path, "", module="tests.support.fake_daemon")
    for word in GOOD_SOURCES + BAD_SOURCES:
        (tmp_path / word).mkdir()
    ports = free_ports(3)
    edits = RandomEdits(first_file(daemon, ports[0]), tmp_path, ports, SEED)
    save(daemon, tomli_w.dumps(edits.document))
    with daemon:
        daemon.wait_ready()
        pid = daemon.model("a")["pid"]
        with ConstantLoad(daemon, {"model": "a", "prompt": "the same words again"}, key=KEY, clients=1) as load:
            before = load.counts.copy()
            for number in range(EDITS):
                edit = edits.next()
                sha256 = running(daemon)["sha256"]
                save(daemon, edit.text)
                status, answer = daemon.admin("/admin/v1/reload", "POST")
                where = f"edit {number}, {edit.kind} {edit.name}: {answer}"
                assert status in STATUSES[edit.kind], where
                if edit.kind == "broken":
                    assert answer["problems"], where
                    assert running(daemon)["sha256"] == sha256, where
                else:
                    assert list(answer["models"]) == (["b"] if edit.kind == "failing" else []), where
                    check_actual(daemon, edit, where)
                assert daemon.model("a")["pid"] == pid, where
                assert daemon.metrics()["mlxd_config_last_reload_successful"] == (edit.kind == "good"), where
                load.wait_served(1)
        served, cached = (load.counts[name] - before[name] for name in ("served", "cached"))
        assert served == cached >= EDITS


def first_file(daemon, port):
    return {
        "server": {"listen": f"127.0.0.1:{port}", "api_keys": [KEY]},
        "admin": {"listen": f"unix:{daemon.socket}"},
        "log": {"format": "json", "level": "info"},
        "models": {name: {"source": f"{daemon.directory}/ok", "aliases": ["default"] if name == "a" else []} for name in "ab"},
    }


def save(daemon, text):
    new = daemon.config.with_suffix(".new")
    new.write_text(text)
    new.replace(daemon.config)


def running(daemon):
    return daemon.admin("/admin/v1/config")[1]


def check_actual(daemon, edit, where):
    """What there is is what the file says; and what a failing version left in place says why."""
    models = {model["id"]: model for model in daemon.admin("/admin/v1/models")[1]["models"]}
    assert [name for name in models if models[name]["desired_state"] == "ready" or name == "c"] == list(edit.document["models"]), where
    for name, wanted in edit.document["models"].items():
        model = models[name]
        if wanted.get("lifecycle", {}).get("load") == "lazy":
            assert model["state"] in ("stopped", "ready"), where
            continue
        assert model["state"] == "ready", where
        if name == "b" and edit.kind == "failing":
            assert model["differs"], where
            continue
        assert model["differs"] is None, where
        assert model["runner"]["reason"].endswith(wanted["source"]), where
        is_simple = wanted.get("batching", {}).get("mode", "simple") == "simple"
        assert model["runner"]["name"] == ("simple" if is_simple else "contiguous"), where
        for limit, value in wanted.get("batching", {}).items():
            assert limit == "mode" or model["limits"][limit] == value, where
    assert daemon.port == int(edit.document["server"]["listen"].rsplit(":", 1)[1]), where
    check_keys_and_aliases(daemon, edit.document, where)


def check_keys_and_aliases(daemon, document, where):
    holder = next(name for name, model in document["models"].items() if "default" in model.get("aliases", ()))
    assert daemon.model("default")["id"] == holder, where
    for key in document["server"]["api_keys"]:
        assert ask_models(daemon, key) == 200, where
    assert ask_models(daemon, "a stranger's") == 401, where


def ask_models(daemon, key):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        json.loads(answer.read())
        return answer.status
    finally:
        connection.close()


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [sock.getsockname()[1] for sock in held]
    finally:
        for sock in held:
            sock.close()
