"""What makes a dashboard good, rule by rule. That its queries answer with data is tested in ``tests/e2e/test_prometheus.py``."""

import itertools
import re
import subprocess
from collections import Counter, defaultdict

import msgspec
import pytest

from grafana.generate import DIRECTORY, rendered
from mlxd.config.adapter_table import AdapterTable
from mlxd.config.principal import ANONYMOUS
from mlxd.control.memory.ledger import Ledger
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.observability.metrics import Metrics
from tests.support.cases import over
from tests.support.dashboards import annotations, dashboards, expressions, panels
from tests.support.prometheus import names, program
from tests.support.statuses import HEARTBEAT, PAGED_CACHE, READY, running_status

ADAPTERS = {"sql": AdapterTable(source="org/sql")}

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
OF_PROMETHEUS = {"up": {}, "ALERTS": {"alertstate": {"firing"}}}
ALL = [*expressions(), *annotations()]

# Exported, and on no dashboard; why not.
NOT_SHOWN = {
    "process_virtual_memory_bytes": "means nothing where memory is mapped",
    "mlxd_model_attention": "says what was found out when a model was loaded, and nothing of now: mlxd status has the reasons",
    "mlxd_model_kv_layers": "likewise",
    "mlxd_cache_pins": "says what was found out when pins were configured: mlxd status has the reasons",
    "mlxd_nonfinite_logits_total": "shown as refusals by reason, and never normal: it has an alert",
}

over_dashboards = pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
over_panels = over([panel for dashboard in dashboards() for panel in panels(dashboard)], lambda panel: panel["title"])
over_expressions = over(ALL)


def exported():
    """{metric: {label: values}}, as Prometheus gets it."""
    paged = msgspec.structs.replace(READY, runner="paged")
    status = running_status(ready=paged, heartbeat=msgspec.structs.replace(HEARTBEAT, cache=PAGED_CACHE), adapters=ADAPTERS)
    metrics = Metrics(lambda: [status], Ledger(1000), holdings=KeyUses(lambda: [ANONYMOUS]).current)
    metrics.add_models(["tiny"])
    metrics.config_loaded("abc")
    found = defaultdict(lambda: defaultdict(set))
    for family in metrics.registry.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                found[sample.name][label].add(value)
            found[sample.name]  # those without labels, too
    return found | OF_PROMETHEUS


EXPORTED = exported()


def selectors(text):
    """Each metric with the matchers in its braces, as [(name, {label: (operator, value)})]."""
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", text):
        yield name, {label: (operator, value) for label, operator, value in re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', matchers)}


# ---- the files ----


def test_the_files_are_what_the_code_says():
    written = {path.name: path.read_text() for path in DIRECTORY.glob("*.json")}
    assert written == rendered(), "grafana/dashboards is not current: run `make docs`"


@over_dashboards
def test_a_dashboard_has_an_address_of_its_own_and_a_version_grafana_11_knows(dashboard):
    assert dashboard["uid"] in {"mlxd-overview", "mlxd-models"}
    assert dashboard["schemaVersion"] >= 39
    assert "id" not in dashboard, "Grafana gives it its own"
    assert dashboard["description"]


@over_dashboards
def test_variables(dashboard):
    found = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert list(found) == ["datasource", "job", "instance", "model"], "in the order in which they depend on each other"
    assert found["datasource"]["query"] == "prometheus"
    for name in ("job", "instance", "model"):
        assert found[name]["datasource"] == DATASOURCE, name
        assert found[name]["refresh"] == 2, f"{name}: a model of last week is to be found last week"


def test_all_models_are_also_those_no_longer_configured_and_the_unknown_one():
    overview = next(dashboard for dashboard in dashboards() if dashboard["uid"] == "mlxd-overview")
    model = overview["templating"]["list"][-1]
    assert (model["multi"], model["includeAll"], model["allValue"]) == (True, True, ".+")


@over_dashboards
def test_ids_of_panels_are_unique(dashboard):
    assert [number for number, count in Counter(panel["id"] for panel in dashboard["panels"]).items() if count > 1] == []


@over_dashboards
def test_titles_of_panels_are_unique(dashboard):
    assert [title for title, count in Counter(panel["title"] for panel in panels(dashboard)).items() if count > 1] == []


@over_dashboards
def test_panels_do_not_overlap_and_leave_no_gap_to_their_right(dashboard):
    cells = Counter()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells.update(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
    assert [cell for cell, count in cells.items() if count > 1] == [], "overlap"
    assert max(x for x, _ in cells) == 23
    lines = Counter(y for _, y in cells)
    assert {y: width for y, width in lines.items() if width != 24} == {}, "lines that are not full"


# ---- panels ----


@over_panels
def test_a_panel_says_what_it_shows_what_is_normal_and_what_to_do(panel):
    assert re.fullmatch(r".+\n\n\*\*Normal:\*\* .+\n\n\*\*If not:\*\* .+", panel["description"]), panel["title"]


@over_panels
def test_a_panel_has_a_unit(panel):
    assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@over_panels
def test_a_panel_asks_something_of_the_chosen_data_source(panel):
    assert panel["targets"], panel["title"]
    assert panel["datasource"] == DATASOURCE, panel["title"]
    assert all(target["datasource"] == DATASOURCE for target in panel["targets"]), panel["title"]


@over_panels
def test_ref_ids_of_a_panel_are_unique(panel):
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]


@over_panels
def test_a_tile_shows_what_is_now(panel):
    """The last value of a range would be that of a daemon that is gone."""
    if panel["type"] in {"stat", "table"}:
        assert all(target["instant"] and not target["range"] for target in panel["targets"]), panel["title"]


@over_panels
def test_a_chart_has_a_legend_that_tells_numbers(panel):
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["calcs"] == ["mean", "max", "lastNotNull"], panel["title"]


@over_panels
def test_colours_by_name_are_of_series_there_are(panel):
    legends = {target["legendFormat"] for target in panel["targets"]}
    labels = {label for legend in legends for label in re.findall(r"\{\{(\w+)\}\}", legend)}
    values = {
        value
        for target in panel["targets"]
        for name in names(target["expr"])
        for label in labels
        for value in EXPORTED[name].get(label, ())
    }
    for override in panel["fieldConfig"]["overrides"]:
        if panel["type"] == "timeseries" and override["matcher"]["id"] == "byName":
            assert override["matcher"]["options"] in legends | values, panel["title"]


# ---- expressions ----


@over_expressions
def test_metrics_labels_and_values_exist(expression):
    for name, matchers in selectors(expression.text):
        assert name in EXPORTED, f"{expression}: no metric {name}"
        for label, (_, value) in matchers.items():
            if label not in {"job", "instance", "model"}:
                assert set(value.split("|")) <= set(EXPORTED[name][label]), f'{expression}: {name} never has {label}="{value}"'


@over_expressions
def test_every_selector_is_of_the_chosen_job_instance_and_model(expression):
    found = list(selectors(expression.text))
    assert {name for name, _ in found} >= names(expression.text), f"{expression}: a metric without braces"
    for name, matchers in found:
        wanted = {"job", "instance"} | ({"model"} if "model" in EXPORTED[name] else set())
        for label in wanted:
            assert matchers.get(label) == ("=~", f"${label}"), f"{expression}: {name} is not limited to the chosen {label}"


@over_expressions
def test_windows_are_what_grafana_computes(expression):
    allowed = {"$__rate_interval"} | ({"$__range"} if expression.instant else set())
    assert set(re.findall(r"\[([^\]]*)\]", expression.text)) <= allowed, f"{expression}: a window that does not follow the zoom"


@over_expressions
def test_a_counter_is_seen_through_its_growth(expression):
    for before, name in re.findall(r"(\w*)\(?(?<!\w)(\w+(?:_total|_count|_bucket|_sum))\{", expression.text):
        assert before in {"rate", "increase", "irate", "resets", "changes"}, f"{expression}: {name} itself says nothing"


@over_expressions
def test_a_rate_is_taken_of_a_counter_and_summed_afterwards(expression):
    for function, inside in re.findall(r"\b(rate|irate|increase)\(([^{]*)\{", expression.text):
        assert re.fullmatch(r"\w+(_total|_count|_bucket|_sum)", inside), f"{expression}: {function} of {inside}"


@over_expressions
def test_no_average_of_averages_and_no_quantile_of_quantiles(expression):
    assert not re.search(r"\b(avg|quantile|avg_over_time)\b", expression.text), expression
    for inside in re.findall(r"histogram_quantile\([\d.]+, ([^{]*)", expression.text):
        assert re.match(r"sum by \(le\b[\w, ]*\) \(rate\(", inside), f"{expression}: not of summed buckets"


@over_panels
def test_labels_in_a_legend_survive_the_aggregation(panel):
    for target in panel["targets"]:
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, f"{panel['title']}, {target['refId']}"


def test_promtool_can_read_every_expression(tmp_path):
    rules = tmp_path / "rules.yml"
    lines = ["groups:", "  - name: dashboards", "    rules:"]
    for one in ALL:
        record = re.sub(r"\W", "_", f"{one.dashboard}_{one.panel_id}_{one.ref}")
        lines += [f"      - record: {record}", "        expr: |", *(f"          {line}" for line in one.substituted().splitlines())]
    rules.write_text("\n".join(lines))
    checked = subprocess.run([program("promtool"), "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(ALL)} rules found" in checked.stdout


def test_every_exported_metric_is_shown_or_listed_with_a_reason():
    shown = {name for one in ALL for name, _ in selectors(one.text)}
    of_histograms = {name.removesuffix("_bucket") for name in EXPORTED if name.endswith("_bucket")}
    seen = {next((one for one in of_histograms if re.fullmatch(f"{one}_(bucket|count|sum)", name)), name) for name in shown}
    all_of_them = {next((one for one in of_histograms if re.fullmatch(f"{one}_(bucket|count|sum)", name)), name) for name in EXPORTED}
    assert all_of_them - seen == set(NOT_SHOWN)
