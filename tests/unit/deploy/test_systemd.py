"""The unit file. It is verified by systemd's own tool where there is one; no systemd has run it in a test."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from mlxd.cli import exits
from mlxd.cli.program import build_parser
from mlxd.client.socket_worker import KILL_GRACE, STOP_GRACE, TERM_GRACE
from mlxd.config.schema import ServerTable

UNIT = Path(__file__).parents[3] / "deploy/systemd/mlxd.service"
ANALYZE = shutil.which("systemd-analyze")
SECONDS = {"s": 1, "min": 60}


def settings():
    """By section: the key and value of each line."""
    found, section = {}, None
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            key, separator, value = line.partition("=")
            assert separator, line
            section.append((key, value))
    return found


def service():
    """A later line replaces an earlier one, except of Environment, which adds up."""
    return dict(settings()["Service"])


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|min)", text).groups()
    return int(number) * SECONDS[unit]


def verify(path):
    """What ``systemd-analyze verify`` says. It exits with 0 on unknown keys, but it does name them."""
    done = subprocess.run([ANALYZE, "verify", str(path)], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def installed(tmp_path):
    """Writes a unit whose program exists, which is verified as well."""
    program = tmp_path / "mlxd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    def write(text):
        path = tmp_path / "mlxd.service"
        path.write_text(text.replace("/opt/mlxd/bin/mlxd", str(program)))
        return path

    return write


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_has_nothing_to_say_about_it(installed):
    assert verify(installed(UNIT.read_text())) == ""
    broken = installed(UNIT.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in verify(broken)


def test_sections_and_keys_stand_once():
    found = settings()
    assert list(found) == ["Unit", "Service", "Install"]
    for section in found.values():
        keys = [key for key, _ in section if key != "Environment"]
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("key", "command"), [("ExecStart", "serve"), ("ExecReload", "reload")])
def test_mlxd_understands_the_arguments(key, command):
    program, *arguments = shlex.split(service()[key])
    assert program == "/opt/mlxd/bin/mlxd"
    assert arguments[0] == command
    args = build_parser().parse_args(arguments)
    assert args.config == Path("/etc/mlxd/mlxd.toml")


def test_it_notifies_and_is_watched():
    found = service()
    assert (found["Type"], found["NotifyAccess"]) == ("notify", "main")
    assert seconds(found["WatchdogSec"]) >= 30  # a loaded machine is no hang


def test_what_cannot_get_better_is_not_started_again():
    found = service()
    assert found["Restart"] == "on-failure"
    assert {int(code) for code in found["RestartPreventExitStatus"].split()} == {exits.USAGE, exits.CONFIG}


def test_it_may_drain_before_it_is_killed_and_its_workers_are_left_to_it():
    found, drain = service(), ServerTable.model_fields["drain_timeout"].default
    assert seconds(found["TimeoutStopSec"]) > 2 * (drain + STOP_GRACE + TERM_GRACE + KILL_GRACE)
    assert found["KillMode"] == "mixed"
    assert found["OOMPolicy"] == "continue"


def test_nothing_that_mlx_needs_is_taken_away():
    found = service()
    assert {"MemoryDenyWriteExecute", "ProcSubset", "NoExecPaths", "MemoryMax", "RootDirectory"}.isdisjoint(found)
    assert found["RestrictAddressFamilies"].split() == ["AF_UNIX", "AF_INET", "AF_INET6"]
    assert found["PrivateTmp"] == "yes"  # MLX compiles into a directory of a fixed name there


def test_what_it_writes_to_is_given_to_it():
    """ProtectSystem=strict leaves nothing else."""
    found = service()
    environment = dict(one.split("=", 1) for key, value in settings()["Service"] if key == "Environment" for one in value.split())
    assert found["ProtectSystem"] == "strict"
    assert environment["HOME"] == f"/var/lib/{found['StateDirectory']}"
    for name in ("MLXD_HOME", "HF_HOME"):
        assert os.path.commonpath([environment[name], f"/var/cache/{found['CacheDirectory']}"]) == "/var/cache/mlxd"
