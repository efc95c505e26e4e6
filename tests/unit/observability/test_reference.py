"""docs/metrics.md is current, has every metric once, and what it refers to exists."""

import re
from pathlib import Path

from mlxd.observability.reference import reference
from tests.support.prometheus import names
from tests.unit.observability.test_exposition import PROCESS, SNAPSHOT

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
TEXT = reference()
ROWS = re.findall(r"^\| `([\w:]+)` \| (\w+) \| (.*?) \| (.+) \|$", TEXT, re.MULTILINE)


def test_it_is_current():
    assert PAGE.read_text() == TEXT, "run: make docs"


def test_each_metric_has_one_row_with_its_type_and_labels():
    labels = {name: " ".join(sorted(re.findall(r"`(\w+)`", text))) for name, _, text, _ in ROWS}
    found = [f"{name} {kind} {{{labels[name]}}}" for name, kind, *_ in ROWS if name.startswith("mlxd_")]
    assert sorted(found) == [line.partition(" [")[0] for line in SNAPSHOT]


def test_each_histogram_has_its_buckets():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d. ]+) \|$", TEXT, re.MULTILINE))
    assert rows == {line.split()[0]: line.partition("[")[2].rstrip("]") for line in SNAPSHOT if "[" in line}


def test_process_and_vllm_metrics_have_rows():
    listed = {name for name, *_ in ROWS}
    assert {f"process_{name}" for name in PROCESS} == {name.removesuffix("_total") for name in listed if name.startswith("process_")}
    assert {"vllm:num_requests_waiting", "vllm:prompt_tokens_total", "vllm:time_to_first_token_seconds"} <= listed


def test_closed_sets_of_labels_are_written_out():
    labels = {name: labels for name, _, labels, _ in ROWS}
    assert labels["mlxd_requests_total"].endswith("`outcome` (ok, client_error, error, aborted)")
    assert labels["mlxd_model_state"] == "`model`, `state` (stopped, loading, ready, draining, failed)"
    assert labels["mlxd_model_attention"] == "`model`, `way` (rows, gather, kernel), `state` (used, slower, refused, unavailable, unasked)"
    assert labels["mlxd_model_kv_layers"] == "`model`, `type` (model, int8)"
    assert labels["mlxd_model_runner"] == "`model`, `runner`, `fallback`"


def test_expressions_read_what_there_is():
    listed = {name for name, *_ in ROWS}
    expressions = re.findall(r"^\| [\w ,]+ \| `(.*\[5m\].*)` \|$", TEXT, re.MULTILINE)
    assert len(expressions) == 6
    for expression in expressions:
        assert {re.sub("_(bucket|sum)$", "", name) for name in names(expression)} <= listed


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (PAGE.parent / target.partition("#")[0]).exists(), target


def test_it_names_no_machine():
    assert str(Path.home()) == "/" or str(Path.home()) not in TEXT
