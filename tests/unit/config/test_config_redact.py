import json
from pathlib import Path

from mlxd.config.loader import parse_config
from mlxd.config.redact import redacted

TEXT = """\
[server]
api_keys = ["sesame-1", "env:KEY"]
[[server.keys]]
name = "agents"
key = "env:KEY_2"
tokens_per_minute = 1000
[admin]
token = "file:token"
[defaults.batching]
max_queue = 7
[models."a:b"]
source = "org/name"
"""


def snapshot(tmp_path):
    (tmp_path / "token").write_text("sesame-3")
    return redacted(parse_config(TEXT, tmp_path / "mlxd.toml", {"KEY": "sesame-2", "KEY_2": "sesame-4"}))


def test_no_secret_is_shown(tmp_path):
    shown = snapshot(tmp_path)
    assert "sesame" not in json.dumps(shown)
    assert shown["config"]["server"]["api_keys"] == ["<redacted>", "<redacted>"]
    assert shown["config"]["server"]["keys"][0]["key"] == "<redacted>"
    assert shown["config"]["server"]["keys"][0]["name"] == "agents"
    assert shown["config"]["admin"]["token"] == "<redacted>"


def test_a_secret_that_is_not_set_stays_empty(tmp_path):
    assert snapshot(tmp_path)["config"]["admin"]["read_token"] == ""
    shown = redacted(parse_config('[models.m]\nsource = "org/name"\n', Path("mlxd.toml"), {}))
    assert shown["config"]["server"]["api_keys"] == []


def test_every_leaf_says_where_it_comes_from(tmp_path):
    shown = snapshot(tmp_path)
    provenance = shown["provenance"]
    assert provenance["server.api_keys"] == 2
    assert provenance["server.max_body"] == "default"
    assert provenance["server.keys.agents.key"] == 5
    assert provenance["server.keys.agents.priority"] == "default"
    assert provenance['models."a:b".source'] == 12
    assert provenance['models."a:b".batching.max_queue'] == 10
    assert provenance['models."a:b".batching.mode'] == "default"
    assert len(provenance) == sum(1 for _ in leaves(shown["config"]))


def leaves(value):
    for name, below in value.items():
        if isinstance(below, dict):
            yield from leaves(below)
        elif isinstance(below, list) and (name == "pin" or any(isinstance(item, dict) for item in below)):
            for item in below:  # an array of tables, which may be empty
                yield from leaves(item)
        else:
            yield below


def test_it_says_which_file(tmp_path):
    shown = snapshot(tmp_path)
    assert shown["path"] == str(tmp_path / "mlxd.toml")
    assert len(shown["sha256"]) == 64


def test_values_read_as_in_the_file(tmp_path):
    config = snapshot(tmp_path)["config"]
    assert config["server"]["listen"] == ["127.0.0.1:8000"]
    assert config["server"]["request_timeout"] == "10m"
    assert config["defaults"]["cache"]["memory"] == "auto"
