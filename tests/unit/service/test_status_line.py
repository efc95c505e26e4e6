"""What a person reads in ``systemctl status``."""

from mlxd.config.address import parse_address
from mlxd.service.status_line import draining_line, status_line
from mlxd.types import ModelState
from tests.support.statuses import model_status

ADDRESSES = (parse_address("127.0.0.1:8000"), parse_address("unix:/run/mlxd/mlxd.sock"))


def models(*states):
    return [model_status(f"m{number}", state) for number, state in enumerate(states)]


def test_all_ready():
    line = status_line(models(ModelState.READY, ModelState.READY), ADDRESSES, [])
    assert line == "2 of 2 models ready; serving on 127.0.0.1:8000, unix:/run/mlxd/mlxd.sock"


def test_what_is_not_ready_is_counted_by_state():
    states = [ModelState.READY, ModelState.LOADING, ModelState.LOADING, ModelState.FAILED, ModelState.STOPPED]
    assert status_line(models(*states), ADDRESSES[:1], []) == "1 of 5 models ready, 2 loading, 1 failed; serving on 127.0.0.1:8000"


def test_one_and_none():
    assert status_line(models(ModelState.READY), (), []) == "1 of 1 model ready"
    assert status_line([], (), []) == "0 of 0 models ready"


def test_a_file_that_is_not_what_runs():
    line = status_line(models(ModelState.READY), (), ["a.toml:2: server.lisen: unknown key", "second"])
    assert line == "1 of 1 model ready; the configuration file is not what runs: a.toml:2: server.lisen: unknown key (and 1 more)"


def test_stopping():
    assert draining_line([model_status(running=1, waiting=2), model_status("other")]) == "stopping; 3 requests to finish"
    assert draining_line([model_status(running=1)]) == "stopping; 1 request to finish"
