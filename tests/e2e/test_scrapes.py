"""Scraping a daemon at work: nothing grows by it, and nobody is waited for. How long it takes is measured in benchmarks/observability."""

import json

import psutil
import pytest

from tests.e2e.client import post, stream
from tests.e2e.daemon_process import DaemonProcess, UnixConnection
from tests.e2e.load import ConstantLoad

CONFIG = """
[metrics]
vllm_compat = true
[defaults.worker]
heartbeat_interval = "50ms"
[models.tiny]
source = "fake/ok"
[models.other]
source = "fake/ok"
"""
ASK = {"model": "tiny", "prompt": "one two three"}
PATHS = ("/metrics", "/metrics/vllm")
SCRAPES = 100


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with DaemonProcess(tmp_path_factory.mktemp("daemon"), CONFIG, module="tests.support.fake_daemon") as running:
        wait_heard(running)
        yield running


def wait_heard(daemon):
    """Until both workers have reported: only then all series are there."""
    heard = [f'mlxd_worker_memory_bytes{{kind="rss",model="{model}"}}' for model in ("tiny", "other")]
    daemon.until(lambda: daemon.metrics().keys() >= set(heard), "heartbeats")


class Scraper:
    """One connection, as Prometheus keeps it."""

    def __init__(self, daemon):
        self.connection = UnixConnection(daemon.socket)

    def __call__(self, path):
        """The series, without their values."""
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, text
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return [line.rpartition(" ")[0] for line in lines]


@pytest.fixture
def scrape(daemon):
    scraper = Scraper(daemon)
    yield scraper
    scraper.connection.close()


def test_hundreds_of_scrapes_under_load_bring_no_series(daemon, scrape):
    with ConstantLoad(daemon, ASK) as load:
        first = {path: scrape(path) for path in PATHS}
        for path in PATHS:
            assert len(set(first[path])) == len(first[path]), "each series once"
        for _ in range(SCRAPES):
            for path in PATHS:
                assert scrape(path) == first[path]
        load.wait_served(10)
    assert load.failures == []
    assert daemon.metrics()['mlxd_requests_total{endpoint="completions",model="tiny",outcome="ok"}'] >= 10


def test_what_clients_make_up_makes_no_series(daemon, scrape):
    post(daemon, "/v1/completions", ASK)
    first = {path: scrape(path) for path in PATHS}
    for number in range(50):
        assert post(daemon, "/v1/completions", ASK | {"model": f"made-up-{number}"})[0] == 404
        assert post(daemon, f"/v1/made-up-{number}", ASK)[0] == 404
        assert post(daemon, "/v1/completions", ASK | {f"made-up-{number}": 1})[0] == 400
    assert {path: scrape(path) for path in PATHS} == first


def test_reloads_bring_series_of_new_models_only(daemon, scrape):
    first = {path: set(scrape(path)) for path in PATHS}
    without = CONFIG.partition("[models.other]")[0]
    for _ in range(3):
        assert daemon.reload(without)[0] == 200
        left = scrape("/metrics")
        assert not any(line.startswith(("mlxd_requests_running", "mlxd_model_state")) and 'model="other"' in line for line in left)
        assert any(line.startswith("mlxd_requests_total") and 'model="other"' in line for line in left)
        assert daemon.reload(CONFIG)[0] == 200
    wait_heard(daemon)
    hashes = {line for line in scrape("/metrics") if line.startswith("mlxd_config_info")}
    assert len(hashes) == 1
    assert {path: set(scrape(path)) for path in PATHS} == first


def test_vllm_names_come_and_go_with_a_reload(daemon, scrape):
    assert any(series.startswith("vllm:num_requests_waiting") for series in scrape("/metrics/vllm"))
    daemon.reload(CONFIG.replace("vllm_compat = true", "vllm_compat = false"))
    assert daemon.admin("/metrics/vllm")[0] == 404
    daemon.reload(CONFIG)
    post(daemon, "/v1/completions", ASK)
    assert any(series.startswith('vllm:request_success_total{engine="0",finished_reason="stop"') for series in scrape("/metrics/vllm"))


def test_scrapers_that_go_away_half_way_leave_nothing(daemon):
    process = psutil.Process(daemon.process.pid)
    daemon.metrics()
    before = process.num_fds()
    for _ in range(50):
        connection = UnixConnection(daemon.socket)
        connection.request("GET", "/metrics")
        connection.close()
    daemon.until(lambda: process.num_fds() <= before, "all of them gone")
    assert daemon.admin("/metrics")[0] == 200


def test_workers_that_hang_keep_no_scrape_waiting(daemon, scrape):
    """``hang_timeout`` is a minute: whatever is answered here is answered while they hang. The last test: its daemon ends with it."""
    stopped = psutil.Process(daemon.model("tiny")["pid"])
    with stream(daemon, {"model": "tiny", "prompt": "stop"}) as first, stream(daemon, {"model": "other", "prompt": "deaf"}) as second:
        assert {json.loads(one.first())["choices"][0]["text"] for one in (first, second)} == {"stop", "deaf"}
        daemon.until(lambda: stopped.status() == psutil.STATUS_STOPPED, "its stop")
        for _ in range(20):
            assert {f'mlxd_requests_running{{model="{model}"}}' for model in ("tiny", "other")} <= set(scrape("/metrics"))
            assert scrape("/metrics/vllm")
        assert stopped.status() == psutil.STATUS_STOPPED, "it has not been replaced meanwhile"
        assert daemon.metrics()['mlxd_worker_restarts_total{model="tiny",reason="hang"}'] == 0
