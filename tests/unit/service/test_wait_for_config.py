"""A start with a bad file, with and without ``--wait-for-valid-config``. Real processes."""

import json
import signal

import pytest

from tests.support.patience import PATIENCE

TINY = '[models.tiny]\nsource = "fake/ok"\n'


def problems(process):
    """Of each time some were logged."""
    lines = [json.loads(line) for line in process.err.splitlines()]
    return [line["problems"] for line in lines if line["event"] == "config_invalid"]


def waiting(start, config):
    process = start("serve", "--config", config, "--wait-for-valid-config")
    process.until(lambda: problems(process), "it says what is wrong")
    return process


def test_without_the_option_it_ends_with_78(start, write_config):
    process = start("serve", "--config", write_config(listen="lisen"))
    assert process.process.wait(PATIENCE) == 78
    assert 'mlxd.toml:2: server.lisen: unknown key; did you mean "listen"?' in process.err


def test_every_problem_is_logged_and_a_good_file_is_served(start, write_config, tmp_path):
    process = waiting(start, write_config("[models.a]\nsource = 5\n", listen="lisen"))
    [found] = problems(process)
    assert [text.split(": ")[1] for text in found] == ["server.lisen", "models.a.source"]
    assert process.out == ""

    write_config("[models.a]\nsource = 5\n")
    process.until(lambda: len(problems(process)) == 2, "it says what is still wrong")
    assert len(problems(process)[1]) == 1

    write_config()
    process.until(lambda: "serving" in process.out, "it serves")
    process.until((tmp_path / "admin.sock").exists, "it listens")
    process.stop()
    assert "change detected" not in process.err  # the log lies in the directory that is watched


def test_a_file_that_is_not_there_yet(start, write_config, tmp_path):
    process = waiting(start, tmp_path / "mlxd.toml")
    assert "no such file" in problems(process)[0][0]
    write_config()
    process.until(lambda: "serving" in process.out, "it serves")
    process.stop()


def test_what_is_wrong_may_lie_outside_the_file(start, write_config, tmp_path):
    process = waiting(start, write_config(f'[log]\nfile = "{tmp_path}/logs/mlxd.log"\n{TINY}'))
    assert "log.file" in problems(process)[0][0]
    (tmp_path / "logs").mkdir()
    process.signal(signal.SIGHUP)  # it would look by itself, but later
    process.until(lambda: "serving" in process.out, "it serves")
    process.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait(start, write_config, number):
    process = waiting(start, write_config(listen="lisen"))
    process.signal(number)
    assert process.process.wait(PATIENCE) == 0


def test_a_good_file_is_served_at_once(start, write_config):
    process = start("serve", "--config", write_config(), "--wait-for-valid-config")
    process.until(lambda: "serving" in process.out, "it serves")
    process.stop()
    assert problems(process) == []
