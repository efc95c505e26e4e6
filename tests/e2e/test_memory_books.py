"""Loads, requests, reloads and kills at random, with real workers: what the system says they take stays within ``memory.limit``."""

import http.client
import json
import os
import signal
from contextlib import closing
from random import Random

import psutil

from mlxd.footprint import footprint
from tests.e2e.daemon_process import DaemonProcess
from tests.support.patience import PATIENCE

MIB = 2**20
LIMIT = 700 * MIB
MARGIN = 64 * MIB  # for each worker
UNASKED = 250 * MIB  # what one may take that loads, and has not asked for memory yet
NAMES = ("one", "two", "three")
STEPS = 10


def toml(cache):
    models = "".join(f'[models.{name}]\nsource = "{{dir}}/model"\n' for name in NAMES)
    return f"""
[memory]
limit = "{LIMIT // MIB}MiB"
pressure = "off"
[defaults.batching]
mode = "continuous"
[defaults.cache]
memory = "{cache}MiB"
[defaults.lifecycle]
load = "lazy"
residence = "0s"
{models}"""


class Books(DaemonProcess):
    def ask(self, model):
        body = json.dumps({"model": model, "prompt": "once upon a time " * 20, "max_tokens": 4})
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            return connection.getresponse().status

    def check(self, what):
        """By the system's own figures, and by the ledger's."""
        memory = self.admin("/admin/v1/memory")[1]
        workers = [child.pid for child in psutil.Process(self.process.pid).children()]
        taken = sum(map(footprint, workers))
        assert taken <= LIMIT + MARGIN * len(workers) + UNASKED, (what, taken // MIB)
        assert memory["reserved_bytes"] <= LIMIT, what
        for model in memory["models"]:
            if model["parts"] is not None and model["reserved_bytes"]:
                assert model["used_bytes"] <= model["reserved_bytes"] + MARGIN, (what, model)
        return memory


def test_what_workers_take_stays_within_the_limit_whatever_happens(tmp_path, tiny_model):
    (tmp_path / "model").symlink_to(tiny_model)
    chance, served = Random(5), 0  # noqa: S311 - no secret
    with Books(tmp_path, toml(16)) as daemon:
        daemon.wait_live()
        for number in range(STEPS):
            name = chance.choice(NAMES)
            act = chance.choice(["ask", "ask", "ask", "reload", "kill"])
            if act == "ask":
                status = daemon.ask(name)
                assert status in {200, 503}, status
                served += status == 200
            elif act == "reload":
                assert daemon.reload(toml(chance.choice([8, 16, 64])))[0] in {200, 500}  # there may be no memory for it
            elif (pid := daemon.model(name)["pid"]) is not None:
                os.kill(pid, signal.SIGKILL)
            daemon.check((number, act, name))
        assert served >= 3
        for name in NAMES:
            daemon.admin(f"/admin/v1/models/{name}/unload?wait=1", "POST")
        memory = daemon.check("the end")
        assert (memory["reserved_bytes"], memory["excess_bytes"]) == (0, 0)
        assert [daemon.model(name)["pid"] for name in NAMES] == [None] * len(NAMES)
