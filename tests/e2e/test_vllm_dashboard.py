"""vLLM's dashboard on a Prometheus that scrapes mlxd: every expression answers with numbers."""

import math

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.load import ConstantLoad
from tests.support.prometheus import Prometheus
from tests.support.vllm_dashboard import GATEWAYS, PANELS

CONFIG = '[metrics]\nvllm_compat = true\nlisten = "127.0.0.1:0"\n[models.tiny]\nsource = "fake/ok"\n'
EXPRESSIONS = [*(expression for panel in PANELS.values() for expression in panel), *GATEWAYS]


def hurried(expression):
    """As Grafana fills it in, over a window for scrapes four times a second."""
    return expression.replace("$model_name", "tiny").replace("$__rate_interval", "5s").replace("[1m]", "[5s]")


def test_every_expression_answers_with_numbers(tmp_path):
    with DaemonProcess(tmp_path, CONFIG, module="tests.support.fake_daemon") as daemon:
        daemon.wait_ready()
        with (
            Prometheus(tmp_path, {}, interval="250ms") as prometheus,
            ConstantLoad(daemon, {"model": "tiny", "prompt": "one two three"}) as load,
        ):
            prometheus.scrape(daemon.metrics_address, path="/metrics/vllm")
            for expression in EXPRESSIONS:
                assert prometheus.until(lambda asked=expression: numbers(prometheus, asked), expression)
        assert load.failures == []


def numbers(prometheus, expression):
    """What it answers, once none of it is a division by nothing."""
    found = prometheus.query(hurried(expression))
    return found if found and all(math.isfinite(value) for _, value in found) else []
