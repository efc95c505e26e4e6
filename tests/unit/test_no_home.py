"""A user without a home directory, as a service may be: told what to set, by every command, and never by a traceback."""

import os
import pwd
from pathlib import Path

import pytest

from mlxd import cli
from mlxd.config.address import DEFAULT_ADMIN, default_admin_address
from mlxd.config.paths import expand
from mlxd.worker.fetch.store import ModelStore

CONFIG = '[models.tiny]\nsource = "builtin:smollm2-135m"\n'


def unknown(_):
    raise KeyError("getpwuid(): uid not found")


@pytest.fixture
def no_home(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("MLXD_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.fixture
def run(no_home, tmp_path, capsys):
    config = tmp_path / "mlxd.toml"
    config.write_text(CONFIG)

    def one(*arguments):
        code = cli.main([str(config) if argument == "FILE" else argument for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert "internal error" not in said.err
        return code, said.out + said.err

    return one


@pytest.mark.parametrize("arguments", [("serve", "--config", "FILE"), ("validate", "FILE"), ("status", "--config", "FILE")])
def test_a_file_that_relies_on_a_home_is_refused_by_the_field_to_set(run, arguments):
    code, said = run(*arguments)
    assert code == 78
    assert f"the default of admin.listen, {DEFAULT_ADMIN}, needs a home directory: set HOME, or admin.listen" in said


def test_a_command_that_is_told_no_daemon_says_what_to_name(run):
    code, said = run("status")
    assert code == 64
    assert "--admin or --config must name the daemon" in said


def test_a_pull_names_the_variables(no_home):
    with pytest.raises(Exception, match="set MLXD_HOME"):
        ModelStore.from_environment()


def test_the_schema_and_the_doctor_need_none(run):
    assert run("schema")[0] == 0
    code, said = run("doctor", "--config", "FILE")
    assert code != 70
    assert "home" in said


@pytest.mark.parametrize("named", ["", None])
def test_without_home_it_is_what_the_system_knows(monkeypatch, tmp_path, named):
    """launchd sets no HOME for a daemon."""
    if named is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", named)
    system = pwd.getpwuid(os.getuid()).pw_dir
    assert str(expand("~/models", tmp_path)) == f"{system}/models"
    assert str(default_admin_address()) == f"unix:{system}/.mlxd/admin.sock"


@pytest.mark.parametrize(("text", "expected"), [("~", "/h"), ("~/m", "/h/m"), ("m", "/at/m"), ("/m", "/m")])
def test_home_is_what_the_variable_says(monkeypatch, text, expected):
    monkeypatch.setenv("HOME", "/h")
    assert str(expand(text, Path("/at"))) == expected
