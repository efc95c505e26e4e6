"""Prometheus itself, for tests of what it makes of our metrics: its binaries, its rule files, and a server on loopback."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy/prometheus"
RULE_FILES = sorted((SHIPPED / "rules").glob("*.yml"))

# A selector as rules and dashboards write it: a name of ours, of the process or of Prometheus, and its matchers.
_SELECTOR = re.compile(r"(?<![\w:])((?:mlxd_|process_|instance(?:_\w+)?:)[\w:]+|up)(?![\w:(])(\{[^}]*\})?")
_DURATION = re.compile(r"(?<=[\[ ])(\d+)m\b")


def program(name):
    """Where ``promtool``, say, is. Without it the test is skipped; in CI, where ``make test`` has seen to it, it fails."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        reason = f"{name} is not installed: run `make prometheus proxies`, or install its package"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return found


def without_strings(expression):
    """An expression whose label values are empty, so that nothing in them is taken for a name."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)


def selectors(expression):
    """What an expression reads: ``name{matchers}``, each once."""
    return list(dict.fromkeys(name + (matchers or "") for name, matchers in _SELECTOR.findall(expression)))


def names(expression):
    """The metrics and recorded series an expression reads."""
    return {name for name, _ in _SELECTOR.findall(without_strings(expression))}


def hurried(rules, *, minute):
    """Rules in which a minute lasts ``minute`` milliseconds: every window, offset and ``for``, and nothing else, is shorter."""
    return _DURATION.sub(lambda found: f"{int(found[1]) * minute}ms", rules)


class Prometheus:
    """``with Prometheus(directory, rules, interval="250ms") as prometheus``: a server on a free port. Its job mlxd is what ``scrape``
    names; ``rules`` are texts by file name. ``trusts``: a file with who issued the certificates of those that speak TLS.
    """

    def __init__(self, directory: Path, rules: dict[str, str], *, interval: str, trusts: Path | None = None):
        tls = f", tls_config: {{ca_file: {trusts}}}" if trusts else ""
        self.address = f"127.0.0.1:{_free_port()}"
        self.log = directory / "prometheus.log"
        self._directory = directory
        self._targets = directory / "targets.json"
        self.scrape()
        for name, text in rules.items():
            (directory / name).write_text(text)
        (directory / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}\n"
            f"rule_files: [{', '.join(rules)}]\n"
            f"scrape_configs: [{{job_name: mlxd, file_sd_configs: [{{files: [{self._targets.name}]}}]{tls}}}]\n"
        )

    def scrape(self, *targets, path="/metrics"):
        """From now on these addresses, and no others; ``https://`` before one that speaks TLS."""
        new = self._targets.with_suffix(".new")
        parts = [target.rpartition("://") for target in targets]
        groups = [
            {"targets": [address], "labels": {"__metrics_path__": path, "__scheme__": scheme or "http"}} for scheme, _, address in parts
        ]
        new.write_text(json.dumps(groups))
        new.replace(self._targets)

    def __enter__(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={self._directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._directory / 'data'}",
                    f"--web.listen-address={self.address}",
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            self.until(lambda: self._get("/-/ready") is not None, "ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)  # nothing of it is kept
        self.process.wait(PATIENCE)

    def until(self, condition, what, *, patience=PATIENCE):
        """Poll until it is true: Prometheus tells nobody what it has seen."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if found := condition():
                return found
            time.sleep(0.1)
        raise AssertionError(f"never happened: {what}\n{self.log.read_text()[-2000:]}")

    def query(self, expression):
        """The samples of an instant query. Raises ``AssertionError`` with Prometheus' words if it does not like it."""
        answer = json.loads(self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
        assert answer["status"] == "success", f"{answer['error']}: {expression}"
        result = answer["data"]["result"]
        if answer["data"]["resultType"] == "scalar":
            return [({}, float(result[1]))]
        return [(one["metric"], float(one["value"][1])) for one in result]

    def alerts(self, *states, **labels):
        """Names of the alerts that are in one of ``states`` and have ``labels``, with what they say of a model, if they do."""
        found = json.loads(self._get("/api/v1/alerts"))["data"]["alerts"]
        return {
            (one["labels"]["alertname"], one["labels"].get("model"))
            for one in found
            if one["state"] in states and labels.items() <= one["labels"].items()
        }

    def rules(self):
        """Every rule as Prometheus has loaded it, with its health."""
        groups = json.loads(self._get("/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, path):
        """The body, of an error too; None while nobody listens or it is starting."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=PATIENCE) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            return None if error.code == 503 else error.read()
        except OSError:
            return None


def _free_port():
    """Prometheus knows no port 0."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
