"""Sizes that no machine, or not this one, can give."""

import pytest

from mlxd.config import checks
from mlxd.config.loader import parse_config
from mlxd.errors import ConfigError

MODEL = '[models.tiny]\nsource = "org/tiny"\n'


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(checks, "machine_memory", lambda: 16 * 2**30)


def problems(text, tmp_path):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, tmp_path / "mlxd.toml", {})
    return caught.value.problems


def lines(line, key):
    """``line`` sets ``key``, wherever that is."""
    return {
        "memory.limit": f"[memory]\nlimit = {line}\n{MODEL}",
        "defaults.cache.memory": f"[defaults.cache]\nmemory = {line}\n{MODEL}",
        "models.tiny.cache.memory": f"{MODEL}cache.memory = {line}\n",
        "server.max_body": f"[server]\nmax_body = {line}\n{MODEL}",
    }[key]


KEYS = ["memory.limit", "defaults.cache.memory", "models.tiny.cache.memory", "server.max_body"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("size", ["17GiB", "1TiB", "1048576TiB"])
def test_more_than_the_machine_has_is_refused_by_key(tmp_path, key, size):
    (problem,) = problems(lines(f'"{size}"', key), tmp_path)
    assert key in problem
    assert "more than this machine's memory" in problem
    assert "16GiB" in problem


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("size", ["0B", "0GiB", "0.4B"])
def test_nothing_is_refused_by_key(tmp_path, key, size):
    (problem,) = problems(lines(f'"{size}"', key), tmp_path)
    assert key in problem
    assert "0" in problem


@pytest.mark.parametrize("key", KEYS)
def test_all_of_the_machine_may_be_given(tmp_path, key):
    parse_config(lines('"16GiB"', key), tmp_path / "mlxd.toml", {})
