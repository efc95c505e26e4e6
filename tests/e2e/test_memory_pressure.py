"""A machine that is short of memory, as the system would say it; the daemon, its workers' engines and what they do about it are real."""

import http.client
import json
import threading
from contextlib import closing

import pytest

from mlxd.control.memory.governor import LADDER, Measure
from tests.e2e.daemon_process import DaemonProcess
from tests.support.patience import PATIENCE
from tests.support.scripted.script import Rule, write_script

TOML = """
[memory]
large_prompt = 200
[defaults.sampling]
max_tokens = 20
[defaults.cache]
memory = "64MiB"
[models.used]
source = "{dir}/scripted"
lifecycle = { pin = true }
[models.idle]
source = "{dir}/ok"
[models.old]
source = "{dir}/ok"
"""
LONG = "one more word of many " * 60
WARNED = LADDER[: 1 + LADDER.index(Measure.HOLD_PROMPTS)]


class Machine(DaemonProcess):
    def says(self, level):
        """The system says so from now on."""
        new = self.directory / "pressure.new"
        new.write_text(str(level))
        new.replace(self.directory / "pressure")

    def memory(self):
        return self.admin("/admin/v1/memory")[1]

    def holding(self):
        return tuple(self.memory()["relief"]["measures"])

    def wait_holding(self, measures):
        self.until(lambda: self.holding() == tuple(measures), f"{list(measures)} hold")

    def ask(self, model, prompt):
        """(status, answer) of a completion."""
        body = json.dumps({"model": model, "prompt": prompt})
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def begin(self, model, prompt, answers):
        thread = threading.Thread(target=lambda: answers.append(self.ask(model, prompt)))
        thread.start()
        return thread

    def wait_taken(self, measures):
        """They were taken in this order. What evicts is told when a worker has done it, which may be later than the next."""
        self.until(lambda: Measure.EVICT_BLOCKS in self._taken(), "a worker has evicted")
        told = [measure for measure in dict.fromkeys(self._taken()) if measure != Measure.EVICT_BLOCKS]
        assert told == [measure for measure in measures if measure is not Measure.EVICT_BLOCKS]

    def _taken(self):
        return [line["measure"] for line in self.events("memory_relief_taken")]


@pytest.fixture
def machine(tmp_path):
    write_script(tmp_path / "scripted", Rule("an answer of a few words"))
    (tmp_path / "ok").mkdir()
    with Machine(tmp_path, TOML, module="tests.support.fake_daemon") as started:
        for name in ("used", "idle", "old"):
            started.until(lambda name=name: started.model(name)["state"] == "ready", f"{name} is ready")
        assert started.ask("idle", "two words")[0] == 200
        yield started


def limits(machine, model):
    return machine.model(model)["limits"]


def test_a_warning_holds_back_large_prompts_and_all_is_taken_back_when_it_is_over(machine):
    assert machine.ask("used", "kept " * 64)[0] == 200
    machine.until(lambda: machine.model("used")["cache"]["cached_bytes"], "blocks are kept")
    machine.says(1)
    machine.wait_holding(WARNED)
    machine.wait_taken(WARNED)
    machine.until(lambda: limits(machine, "used")["restraint"]["largest_prompt"] == 200, "its worker knows")
    assert limits(machine, "used")["restraint"] == {"buffer_share": 0.25, "cache_share": 0.25, "largest_prompt": 200, "patience": 30.0}
    assert machine.memory()["models"][0]["reserved_bytes"] > 2**26, "what is reserved stays: it is taken again"
    assert machine.model("used")["cache"]["cached_bytes"] == 0
    assert any(line.get("freed") for line in machine.events("memory_relief_taken") if line["models"] == ["used"])

    assert machine.ask("used", "a small one")[0] == 200, "small ones are answered"
    answers = []
    waiting = machine.begin("used", LONG, answers)
    machine.until(lambda: machine.model("used")["requests"]["waiting"] == 1, "the large one waits")
    assert machine.ask("used", "a small one")[0] == 200, "and holds up nobody"
    machine.says(0)
    waiting.join(PATIENCE)
    assert [status for status, _ in answers] == [200], "it is answered when there is memory again"
    machine.wait_holding(())
    machine.until(lambda: limits(machine, "used")["restraint"]["cache_share"] == 1.0, "all of it is taken back")
    assert [line["measure"] for line in machine.events("memory_relief_lifted")] == list(reversed(WARNED))
    assert {machine.model(name)["state"] for name in ("used", "idle", "old")} == {"ready"}, "a warning unloads nobody"


def test_where_it_is_critical_idle_models_go_the_oldest_first_and_requests_hear_why(machine):
    machine.says(2)
    machine.wait_holding(LADDER)
    machine.wait_taken(LADDER)
    unloaded = [line["models"] for line in machine.events("memory_relief_taken") if line["measure"].startswith("unload") and line["models"]]
    assert unloaded == [["old"], ["idle"]], "the one used longest ago first, and never the pinned one"
    status, refusal = machine.ask("idle", "two words")
    assert (status, refusal["error"]["code"]) == (503, "insufficient_memory")
    assert "short of memory" in refusal["error"]["message"]
    status, refusal = machine.ask("used", LONG)
    assert (status, refusal["error"]["code"]) == (507, "memory_pressure")
    assert machine.ask("used", "a small one")[0] == 200
    machine.says(0)
    machine.until(lambda: machine.ask("idle", "two words")[0] == 200, "it is loaded again when it is asked for")
    machine.wait_holding(())
    assert machine.ask("used", LONG)[0] == 200
    assert machine.admin("/livez")[0] == 200


def test_what_is_switched_off_does_nothing_and_one_who_switches_it_off_has_all_back(machine):
    machine.says(1)
    machine.wait_holding(WARNED)
    assert machine.reload(TOML.replace("[memory]", '[memory]\npressure = "off"'))[0] == 200
    machine.wait_holding(())
    memory = machine.memory()
    assert (memory["relief"]["enabled"], memory["relief"]["level"]) == (False, "warning")
    machine.until(lambda: limits(machine, "used")["restraint"]["largest_prompt"] is None, "its worker knows")
    assert machine.ask("used", LONG)[0] == 200
