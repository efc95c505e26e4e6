"""Whatever ends a benchmark, what it has by then is shown and written."""

import json
import os
import signal

import pytest

from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.measurements import Measurements, Metric
from benchmarks.harness.servers import MLX_LM, MLXD
from benchmarks.harness.tables import print_comparison
from benchmarks.harness.trial import Trial

SPEED = Metric("speed", "tok/s", "higher")


@pytest.fixture(autouse=True)
def _signals():
    """A trial changes what signals do to the process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def trial(tmp_path):
    return Kept(tmp_path / "out.json")


class Kept:
    """Two servers, three rounds; ``end`` happens when the first one of the second round is known."""

    def __init__(self, path):
        self.path = path
        self.measured = Measurements()

    def run(self, end):
        def work(progress):
            for number, server in progress.over([(number, server) for number in range(3) for server in (MLXD, MLX_LM)], str):
                self.measured.add(SPEED, "one user", server, 10 + number)
                if (number, server) == (1, MLXD):
                    assert json.loads(self.path.read_text()) == written({MLXD: [10], MLX_LM: [10]})
                    end()

        return Trial(self.report, self.measured.document, self.path).through(work)

    def report(self):
        print_comparison(self.measured, SPEED, MLXD)
        return 3


def written(rounds):
    common = {"metric": "speed", "unit": "tok/s", "better": "higher", "scenario": "one user"}
    return {"measured": [{**common, "server": server, "rounds": values} for server, values in rounds.items()], "requests": [], "notes": []}


def test_to_the_end(trial, capsys):
    assert trial.run(lambda: None) == 3  # the report's own verdict
    assert json.loads(trial.path.read_text()) == written({MLXD: [10, 11, 12], MLX_LM: [10, 11, 12]})
    assert "11.0 [10.0-12.0]" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_by_a_signal(trial, number, capsys):
    assert trial.run(lambda: os.kill(os.getpid(), number)) == 130
    assert json.loads(trial.path.read_text()) == written({MLXD: [10, 11], MLX_LM: [10]})
    out = capsys.readouterr().out
    assert "stopped; what there is so far" in out
    assert "10.5 [10.0-11.0]" in out  # mlxd's two rounds; the ratio is of the one that both had
    assert "1.00" in out


def test_a_server_that_fails(trial, capsys):
    def fail():
        raise BenchmarkError("mlx_lm.server broke off")

    assert trial.run(fail) == 1
    told = capsys.readouterr()
    assert "10.5 [10.0-11.0]" in told.out
    assert told.err.endswith("mlx_lm.server broke off\n")


def test_a_fault_of_the_benchmark_itself(trial, capsys):
    with pytest.raises(ZeroDivisionError):
        trial.run(lambda: 1 / 0)
    assert json.loads(trial.path.read_text()) == written({MLXD: [10, 11], MLX_LM: [10]})
    assert "10.5 [10.0-11.0]" in capsys.readouterr().out
