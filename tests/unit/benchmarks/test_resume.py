"""A run that goes on with the rounds of one before."""

import argparse
import copy
import json

import pytest

from benchmarks.harness import bench as harness
from benchmarks.harness.bench import Bench
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.measurements import Measurements, Metric
from benchmarks.harness.servers import MLX_LM, MLXD

SPEED = Metric("speed", "tok/s", "higher")
HEAD = {
    "benchmark": "some",
    "date": "2026-11-27",
    "versions": {"mlxd": "1"},
    "machine": {"cpu": "a processor", "cores": 2, "load_average": [0.1, 0, 0]},
    "options": {"model": "org/model", "rounds": 2},
}


@pytest.fixture
def file(tmp_path):
    """Two whole rounds and a part of a third one."""
    measured = Measurements()
    for number, servers in enumerate([(MLXD, MLX_LM), (MLXD, MLX_LM), (MLXD,)]):
        for server in servers:
            measured.add(SPEED, "one user", server, number)
    path = tmp_path / "found.json"
    path.write_text(json.dumps({**HEAD, **measured.document()}))
    return path


def resumed(path, head=HEAD, rounds=1):
    args = argparse.Namespace(json=path, rounds=rounds, quick=False)
    bench = Bench(args, path.parent, path, path, None)
    harness._resume(bench, head)
    return bench


def test_whole_rounds_stay_and_new_ones_follow(file):
    bench = resumed(file, HEAD | {"options": {"model": "org/model", "rounds": 1}})
    assert list(bench.rounds) == [2]
    bench.measured.add(SPEED, "one user", MLXD, 5)
    assert bench.measured.values(SPEED, "one user", MLXD) == [0, 1, 5]
    assert bench.measured.values(SPEED, "one user", MLX_LM) == [0, 1]
    assert bench.measured.document()["notes"] == [{"resumed": HEAD["date"], "load_average": HEAD["machine"]["load_average"]}]


def test_a_file_that_is_not_there_yet_is_begun(tmp_path):
    assert list(resumed(tmp_path / "none.json", rounds=3).rounds) == [0, 1, 2]


@pytest.mark.parametrize(("table", "key"), [("versions", "mlxd"), ("machine", "cpu"), ("options", "model")])
def test_what_was_measured_of_something_else_is_refused(file, table, key):
    other = copy.deepcopy(HEAD)
    other[table][key] = "other"
    with pytest.raises(BenchmarkError, match=f"another {table}"):
        resumed(file, other)


def test_what_is_no_result_is_refused(file):
    file.write_text("[]")
    with pytest.raises(BenchmarkError, match="not the result of a benchmark"):
        resumed(file)
