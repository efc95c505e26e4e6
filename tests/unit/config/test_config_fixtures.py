"""Every file in good/ loads and holds what its .json says; every file in bad/ is refused with exactly the lines of its .txt."""

import json
from pathlib import Path

import pytest

from mlxd.config.keys import dotted
from mlxd.config.loader import load_config
from mlxd.errors import ConfigError

HERE = Path(__file__).parent
GOOD = sorted(path.stem for path in (HERE / "good").glob("*.toml"))
BAD = sorted(path.stem for path in (HERE / "bad").glob("*.toml"))
ENVIRON = {"GOOD_KEY": "key-from-environment", "GOOD_TOKEN": "token-from-environment", "EMPTY": "", "SPACED": "two words"}


def flat(values, at=()):
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, (*at, name))
        else:
            yield dotted((*at, name)), value


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_loads(name, monkeypatch):
    monkeypatch.chdir(HERE / "good")
    loaded = load_config(Path(f"{name}.toml"), ENVIRON)
    values = dict(flat(loaded.config.model_dump(mode="json")))
    expected = json.loads(Path(f"{name}.json").read_text())
    assert {key: values[key] for key in expected} == expected


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_every_problem(name, monkeypatch):
    monkeypatch.chdir(HERE / "bad")
    with pytest.raises(ConfigError) as refused:
        load_config(Path(f"{name}.toml"), ENVIRON)
    assert refused.value.problems == Path(f"{name}.txt").read_text().splitlines()


@pytest.mark.parametrize("name", BAD)
def test_no_problem_is_reported_twice(name):
    problems = (HERE / "bad" / f"{name}.txt").read_text().splitlines()
    keys = [":".join(problem.split(": ")[:2]) for problem in problems]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", BAD)
def test_no_secret_is_in_a_message(name):
    text = (HERE / "bad" / f"{name}.txt").read_text()
    for secret in ("key-from-environment", "two words", "a-secret", "12345"):
        assert secret not in text or name == "bad_model_names"


def test_there_are_enough_of_them():
    assert len(GOOD) >= 15
    assert len(BAD) >= 25
    assert {path.stem for path in (HERE / "good").glob("*.json")} == set(GOOD)
    assert {path.stem for path in (HERE / "bad").glob("*.txt")} == set(BAD)
