"""What is shipped for Prometheus, by its own tool; and the runbook that goes with the alerts."""

import os
import re
import subprocess
import tomllib

import pytest
import yaml

from mlxd.cli.program import build_parser
from mlxd.errors import CODES, MlxdError, RequestError, from_code
from tests.support.prometheus import ROOT, RULE_FILES, SHIPPED, hurried, names, program, selectors

TESTS = sorted((SHIPPED / "tests").glob("*.yml"))
RULES = [rule for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
SECTIONS = dict(zip(*[iter(re.split(r"^## (Mlxd\w+)\n", RUNBOOK, flags=re.MULTILINE)[1:])] * 2, strict=True))

# Refusals for which MlxdRejectionsHigh says nothing, and why.
SOMEBODY_KNOWS = {
    "model_drained": "an operator did it",
    "request_cancelled": "an operator did it",
    "shutting_down": "an operator did it",
    "slow_client": "the client did it",
    "rate_limit_exceeded": "the key's owner, who is told when to come again, and the operator, by mlxd keys and a panel",
    "model_failed": "MlxdModelFailed",
    "insufficient_memory": "MlxdMemoryNearLimit",
    "memory_pressure": "MlxdGivingWay",
}
NEVER_A_REFUSAL = {
    *("invalid_config", "cannot_listen", "version_mismatch", "model_source", "model_unreachable", "draft_model", "adapter_source"),
    *("daemon_unreachable", "unavailable"),
    *("reload_refused", "reload_failed", "stale_config"),  # of the admin listener, which counts none
}


def promtool(*arguments):
    environment = os.environ | {"GOGC": "400"}  # it lives for a second: to collect less garbage is a fifth of what it takes
    ran = subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_rules_are_clean():
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert re.findall(r"(\d+) rules found", checked) == [str(len(ALERTS)), str(len(RULES) - len(ALERTS))]


def test_the_configuration_is_clean_and_finds_the_rules():
    assert f"{len(RULE_FILES)} rule files found" in promtool("check", "config", SHIPPED / "prometheus.yml")


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_no_sooner(path):
    promtool("test", "rules", path)


def expectations():
    """Of each alert: whether a case says that it fires, and whether one says that it does not."""
    found = {name: set() for name in ALERTS}
    for path in TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            near_miss = case["name"].startswith("near miss")
            for expected in case["alert_rule_test"]:
                assert not (near_miss and expected["exp_alerts"]), case["name"]
                found[expected["alertname"]].add("near miss" if near_miss else bool(expected["exp_alerts"]))
    return found


def test_every_alert_has_a_case_in_which_it_fires_and_a_near_miss():
    assert all({True, "near miss"} <= cases for cases in expectations().values()), expectations()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_it_is_what_it_means_and_where_to_read_on(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert re.fullmatch(r"\d+m", alert["for"])
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_the_runbook_has_a_section_for_every_alert_and_no_other():
    assert list(SECTIONS) == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_a_section_of_the_runbook_says_all_there_is_to_say(name):
    text = SECTIONS[name]
    headings = re.findall(r"^\*\*(.+?)\.\*\*", text, flags=re.MULTILINE)
    assert headings == ["Meaning", "What users notice", "Look first", "Likely causes", "What to do"]
    assert f"`{ALERTS[name]['labels']['severity']}`" in text
    assert "mlxd " in text.split("**Look first.**")[1].split("**Likely causes.**")[0]


def test_the_runbook_s_commands_are_commands(capsys):
    commands = set(re.findall(r"(?:^|`)mlxd ([a-z][\w-]*)", RUNBOOK, flags=re.MULTILINE))
    assert commands >= {"status", "requests", "memory", "restart", "validate"}
    for name in commands:
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([name, "--help"])
        assert ended.value.code == 0, name


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", RUNBOOK))))
def test_the_runbook_s_links_lead_somewhere(link):
    path, _, anchor = link.partition("#")
    assert (ROOT / "docs" / path).exists()
    assert path or anchor in {name.lower() for name in SECTIONS}


def test_the_runbook_s_keys_are_keys():
    """Such as `cache.memory`: of the file, or of a model's table."""
    full = tomllib.loads((ROOT / "config/mlxd.full.toml").read_text())
    keys = {f"{table}.{key}" for table, content in (full | full["defaults"]).items() for key in content}
    unset = {f"{table}.{key}" for table, key in (("metrics", "listen"), ("sampling", "max_tokens"))}
    named = set(re.findall(r"\b(?:server|admin|log|metrics|memory|batching|cache|lifecycle|worker|sampling)\.[a-z_]+\b", RUNBOOK))
    assert named - keys - unset == set()


def test_every_refusal_is_somebody_s_business():
    """Mistakes of clients are theirs; all others are told of, by this alert or another."""
    told = set(re.search(r'reason=~"([^"]+)"', ALERTS["MlxdRejectionsHigh"]["expr"])[1].split("|"))
    mistakes = {code for code in CODES if isinstance(from_code(code, ""), RequestError)}
    assert told | set(SOMEBODY_KNOWS) | NEVER_A_REFUSAL | mistakes == CODES
    assert MlxdError.code in told
    assert not told & (set(SOMEBODY_KNOWS) | NEVER_A_REFUSAL | mistakes)


# ---- what tests/e2e makes of the rules (tests/support/prometheus.py) ----


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_hurried_rules_are_the_shipped_ones_but_for_the_length_of_a_minute(path):
    shipped = path.read_text()
    shorter = hurried(shipped, minute=800)
    assert re.sub(r"(\d+)ms", lambda found: f"{int(found[1]) // 800}m", shorter) == shipped
    durations = re.findall(r"\[\w+\]|offset \w+|for: \d\w+", shorter)
    assert durations
    assert all(re.fullmatch(r".*\d+ms\]?", one) for one in durations)


def test_what_an_expression_reads():
    expression = 'sum by (instance) (rate(mlxd_a_total{x="up"}[5m])) / on (job) instance:mlxd_b:ratio > 3 unless up == 0'
    assert selectors(expression) == ['mlxd_a_total{x="up"}', "instance:mlxd_b:ratio", "up"]
    assert names(expression) == {"mlxd_a_total", "instance:mlxd_b:ratio", "up"}


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_prometheus_tests_are_skipped_but_not_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="make prometheus"):
        program("no-such-program")
