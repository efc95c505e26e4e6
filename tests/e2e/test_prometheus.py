"""Every panel and every rule, asked of a real Prometheus that scrapes real daemons to which everything has happened.

A query that nobody runs is wrong sooner or later: a metric is renamed, a label has another value, a quotient finds no partner. Nothing of
that is an error to Prometheus; it shows an empty panel, or an alert that never fires.
"""

import math
import re

import pytest
import yaml

from tests.e2e import traffic
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.load import ConstantLoad
from tests.e2e.trouble import held_back
from tests.support.adapter_files import write_mlx_lm
from tests.support.certificates import Authority
from tests.support.dashboards import annotations, expressions
from tests.support.prometheus import ROOT, RULE_FILES, Prometheus, names, selectors

EXPRESSIONS = list(expressions())
ANNOTATIONS = list(annotations())
RULES = [rule for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
RECORDED = [rule["record"] for rule in RULES if "record" in rule]
RUNBOOK = re.findall(r"^```promql\n(.*?)```", (ROOT / "docs/runbook.md").read_text(), flags=re.MULTILINE | re.DOTALL)
RUNBOOK = [line for block in RUNBOOK for line in block.splitlines()]

# Exported, and read by no dashboard, rule or query of the runbook; why.
NOT_USED = {
    "mlxd_model_attention": "it says what was found out when a model was loaded, and nothing of now",
    "mlxd_model_kv_layers": "likewise",
    "mlxd_cache_pins": "a reload's answer and status say which pin is refused, and why",
}


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def real(tmp_path_factory, tiny_model, authority):
    directory = tmp_path_factory.mktemp("real")
    (directory / "model").symlink_to(tiny_model)
    write_mlx_lm(directory / "adapter", {"model.layers.0.self_attn.q_proj": (64, 64)})
    authority.issue(directory)
    with DaemonProcess(directory, traffic.REAL) as started:
        yield started


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    directory = tmp_path_factory.mktemp("fake")
    (directory / "ok").mkdir()
    with DaemonProcess(directory, traffic.FAKE, module="tests.support.fake_daemon") as started:
        yield started


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory, real, fake, authority):
    """It has seen everything happen, and some requests go on."""
    rules = {path.name: path.read_text() for path in RULE_FILES}
    directory = tmp_path_factory.mktemp("prometheus")
    authority.write(directory / "trusted.pem")
    with Prometheus(directory, rules, interval="500ms", trusts=directory / "trusted.pem") as started:
        for daemon in (real, fake):
            daemon.wait_ready()
        started.scrape(f"https://{real.metrics_address}", fake.metrics_address)
        started.until(lambda: len(started.query("mlxd_build_info")) == 2, "both are scraped")
        for happening in (traffic.ordinary, traffic.crowded, traffic.mistaken, traffic.operated, traffic.broken, traffic.ordinary):
            happening(real)
        traffic.refused(fake)
        connections = traffic.endless(real)
        load = ConstantLoad(real, {"model": "tiny", "prompt": "the same words again", "max_tokens": 4}, clients=1)
        encoding = ConstantLoad(fake, traffic.TEXTS, clients=1, path="/v1/embeddings")
        with held_back(real), load, encoding:
            started.until(lambda: started.query("instance_model:mlxd_prefix_cache_hit_tokens:ratio_rate5m > 0"), "rules are evaluated")
            yield started
        for connection in connections:
            connection.close()


def answers(prometheus, expression):
    """With a number, now or after the next scrapes: one may fail on a machine that is busy, and then there is nothing for a moment."""

    def is_number():
        return any(not math.isnan(value) for _, value in prometheus.query(expression))

    return prometheus.until(is_number, f"an answer to {expression}", patience=10)


# ---- dashboards ----


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_every_query_of_every_panel_answers_with_data(prometheus, expression):
    assert answers(prometheus, expression.substituted(__rate_interval="30s"))


@pytest.mark.parametrize("expression", ANNOTATIONS, ids=str)
def test_every_annotation_reads_what_there_is(prometheus, expression):
    text = expression.substituted(__rate_interval="30s")
    prometheus.query(text)
    assert unknown(prometheus, text) == set()


# ---- rules ----


def test_prometheus_evaluates_every_rule(prometheus):
    prometheus.until(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()), "every rule is evaluated")
    assert [(rule["name"], rule.get("lastError")) for rule in prometheus.rules() if rule["health"] != "ok"] == []
    assert len(prometheus.rules()) == len(RULES)


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_series_has_data(prometheus, name):
    assert answers(prometheus, name)


@pytest.mark.parametrize("rule", [rule for rule in RULES if "alert" in rule], ids=lambda rule: rule["alert"])
def test_every_alert_reads_series_that_there_are(prometheus, rule):
    """An alert whose selectors find nothing never fires, and nobody hears of it."""
    assert selectors_without_series(prometheus, rule["expr"]) == []


@pytest.mark.parametrize("query", RUNBOOK)
def test_every_query_of_the_runbook_reads_series_that_there_are(prometheus, real, query):
    assert (
        selectors_without_series(
            prometheus, query.replace("INSTANCE", real.metrics_address).replace("MODEL", "tiny").replace("ADAPTER", "sql")
        )
        == []
    )


def selectors_without_series(prometheus, expression):
    """Whatever the expression makes of them: comparisons may have no answer, and often should not."""
    prometheus.query(expression)
    found = selectors(expression)
    assert found
    return [selector for selector in found if not prometheus.query(f"last_over_time({selector}[10m])")]


def test_nobody_is_called_for_what_is_over(prometheus):
    assert prometheus.alerts("firing") == set()


# ---- names ----


def exported(prometheus):
    """Returns the names there were: of the last scrape alone there would be none where that one failed, on a machine that is busy."""
    found = prometheus.query('count by (__name__) (last_over_time({job="mlxd", __name__=~"mlxd_.*|process_.*"}[10m]))')
    return {labels["__name__"] for labels, _ in found}


def unknown(prometheus, *expressions):
    read = {name for expression in expressions for name in names(expression)}
    return read - exported(prometheus) - set(RECORDED) - {"up"}


def family(name):
    """A histogram has three names."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


def test_every_name_that_is_used_is_exported(prometheus):
    assert unknown(prometheus, *(one.text for one in EXPRESSIONS), *(rule["expr"] for rule in RULES)) == set()


def test_every_name_that_is_exported_is_used_or_it_is_known_why_not(prometheus):
    texts = [*(one.text for one in (*EXPRESSIONS, *ANNOTATIONS)), *(rule["expr"] for rule in RULES), *RUNBOOK]
    used = {family(name) for text in texts for name in names(text)}
    assert {family(name) for name in exported(prometheus) if name.startswith("mlxd_")} - used == set(NOT_USED)
