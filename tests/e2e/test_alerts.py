"""Things go wrong in real daemons, and a real Prometheus tells of each by its alert, and of nothing else.

Prometheus cannot be told that time has passed. So the shipped rules are loaded with one change: a minute in them (windows, offsets,
``for``) lasts a second, see ``hurried``. Expressions and thresholds are as shipped. That they hold at their real pace is tested
by ``promtool``, which has a clock of its own (``tests/unit/deploy/test_prometheus.py``); so is MlxdTTFTHigh, which needs long waits.
"""

import os
import signal

import pytest

from tests.e2e.client import post, send
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.trouble import Trouble, held_back
from tests.support.prometheus import RULE_FILES, Prometheus, hurried

MINUTE = 1000  # milliseconds

METRICS = '[metrics]\nlisten = "127.0.0.1:0"\n[defaults.worker]\nheartbeat_interval = "100ms"\n'
QUICK = 'restart_backoff = "50ms"\nrestart_backoff_max = "50ms"\ncrash_limit = 1000\n'
FAKE = (
    METRICS
    + QUICK
    + '[memory]\nlimit = "1000B"\n[defaults.lifecycle]\npin = true\n'  # none gives way to the homeless one
    + "".join(f'[models.{name}]\nsource = "{{dir}}/ok"\n' for name in ("healthy", "crashing", "crowded", "queued", "stalled"))
    + '[models.damaged]\nsource = "{dir}/damaged"\nworker = {restart_backoff = "1s", restart_backoff_max = "1s"}\n'
    + '[models.homeless]\nsource = "{dir}/needs-2000"\nlifecycle = {load = "lazy"}\n'
)
# 64 blocks of 16 tokens, for six clients that want 500 tokens each.
SMALL_CACHE = (
    METRICS + '[models.tiny]\nsource = "{dir}/model"\nbatching = {mode = "continuous", attention = "rows"}\ncache = {memory = "512KiB"}\n'
)
LONG = {"model": "tiny", "prompt": "Once", "temperature": 0, "max_tokens": 500, "logit_bias": {"258": -100}}


def ask(daemon, model, prompt):
    return post(daemon, "/v1/completions", {"model": model, "prompt": prompt})[0]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    rules = {path.name: hurried(path.read_text(), minute=MINUTE) for path in RULE_FILES}
    with Prometheus(tmp_path_factory.mktemp("prometheus"), rules, interval="500ms") as started:
        yield started


@pytest.fixture(scope="module")
def small(tmp_path_factory, tiny_model):
    """A real model whose cache is too small."""
    directory = tmp_path_factory.mktemp("small")
    (directory / "model").symlink_to(tiny_model)
    with DaemonProcess(directory, SMALL_CACHE) as started:
        yield started


@pytest.fixture(scope="module")
def doomed(tmp_path_factory):
    """One that will be killed."""
    directory = tmp_path_factory.mktemp("doomed")
    (directory / "ok").mkdir()
    with DaemonProcess(directory, METRICS + '[models.healthy]\nsource = "{dir}/ok"\n', module="tests.support.fake_daemon") as started:
        yield started


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, prometheus, small, doomed):
    """Whose every model but one has a trouble of its own, all at the same time."""
    directory = tmp_path_factory.mktemp("fake")
    for source in ("ok", "damaged", "needs-2000"):
        (directory / source).mkdir()
    waiting = []

    def queue():
        """One more that waits, while others are served."""
        waiting.append(send(started, {"model": "queued", "prompt": "queue"}))
        assert ask(started, "queued", "two words") == 200

    def crash():
        if (model := started.model("crashing"))["state"] == "ready":
            os.kill(model["pid"], signal.SIGKILL)

    def crowd():
        assert [ask(started, "crowded", prompt) for prompt in ("two words", "full")] == [200, 429]

    with DaemonProcess(directory, FAKE, module="tests.support.fake_daemon") as started:
        for name in ("healthy", "crashing", "crowded", "queued", "stalled"):
            started.until(lambda name=name: started.model(name)["state"] == "ready", f"{name} is ready")
        for other in (small, doomed):
            other.wait_ready()
        prometheus.scrape(*(one.metrics_address for one in (started, small, doomed)))
        waiting.append(send(started, {"model": "stalled", "prompt": "queue"}))
        others = (lambda: ask(started, "homeless", "two words"), lambda: ask(started, "healthy", "two words"))
        with Trouble(queue, crowd, pause=0.4), Trouble(*others, pause=1.0), Trouble(crash, pause=1.0):
            yield started
        for connection in waiting:
            connection.close()


def wait_firing(prometheus, daemon, alert, model=None):
    instance = daemon.metrics_address
    prometheus.until(lambda: (alert, model) in prometheus.alerts("firing", instance=instance), f"{alert} {model}")


def test_a_worker_that_is_killed_again_and_again(prometheus, daemon):
    wait_firing(prometheus, daemon, "MlxdWorkerCrashLoop", "crashing")


def test_a_model_that_cannot_be_loaded(prometheus, daemon):
    wait_firing(prometheus, daemon, "MlxdModelFailed", "damaged")


def test_an_engine_that_does_nothing(prometheus, daemon):
    wait_firing(prometheus, daemon, "MlxdEngineStalled", "stalled")


def test_a_reload_by_somebody_who_has_seen_another_configuration_is_no_failure(prometheus, daemon):
    """It would have been told of at the end."""
    assert daemon.admin("/admin/v1/reload", "POST", **{"If-Match": f'"{"0" * 64}"'})[0] == 412


def test_a_file_that_is_broken(prometheus, daemon, small):
    small.save(SMALL_CACHE + "[models.tiny.sampling]\ntemperatur = 0\n")
    wait_firing(prometheus, small, "MlxdReloadFailed")


def test_a_queue_that_is_full(prometheus, daemon):
    wait_firing(prometheus, daemon, "MlxdRejectionsHigh", "crowded")


def test_a_model_for_which_there_is_no_memory(prometheus, daemon):
    wait_firing(prometheus, daemon, "MlxdMemoryNearLimit")


def test_a_machine_without_memory(prometheus, daemon):
    """As the system would say; the rest is real."""
    (daemon.directory / "pressure").write_text("2")
    wait_firing(prometheus, daemon, "MlxdMemoryPressureCritical")
    wait_firing(prometheus, daemon, "MlxdGivingWay")


def test_a_queue_that_grows(prometheus, daemon):
    wait_firing(prometheus, daemon, "MlxdQueueGrowing", "queued")


def test_a_cache_that_is_too_small(prometheus, daemon, small):
    with Trouble(*[lambda: post(small, "/v1/completions", LONG)] * 6, pause=0.0), held_back(small):
        wait_firing(prometheus, small, "MlxdKVNearlyFull", "tiny")


def test_a_file_that_is_good_again(prometheus, daemon, small):
    small.save(SMALL_CACHE)
    instance = small.metrics_address
    prometheus.until(lambda: ("MlxdReloadFailed", None) not in prometheus.alerts("firing", instance=instance), "all is well")


def test_a_daemon_that_is_killed(prometheus, daemon, doomed):
    instance = doomed.metrics_address
    prometheus.until(lambda: prometheus.query(f'up{{instance="{instance}"}} == 1'), "it was up")
    doomed.process.kill()
    prometheus.until(lambda: prometheus.alerts("firing", instance=instance) == {("MlxdDown", None)}, "MlxdDown")


def test_nothing_else_was_told_in_all_that_time(prometheus, daemon, small):
    told = prometheus.query('max by (alertname, instance, model) (max_over_time(ALERTS{alertstate="firing", alertname!="MlxdDown"}[1h]))')
    assert {(one["alertname"], one["instance"], one.get("model")) for one, _ in told} == {
        ("MlxdWorkerCrashLoop", daemon.metrics_address, "crashing"),
        ("MlxdModelFailed", daemon.metrics_address, "damaged"),
        ("MlxdEngineStalled", daemon.metrics_address, "stalled"),
        ("MlxdReloadFailed", small.metrics_address, None),
        ("MlxdRejectionsHigh", daemon.metrics_address, "crowded"),
        ("MlxdMemoryNearLimit", daemon.metrics_address, None),
        ("MlxdMemoryPressureCritical", daemon.metrics_address, None),
        ("MlxdGivingWay", daemon.metrics_address, None),
        ("MlxdQueueGrowing", daemon.metrics_address, "queued"),
        ("MlxdKVNearlyFull", small.metrics_address, "tiny"),
    }
