"""The files in config/ are current, complete and load."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from mlxd.config.adapter_table import AdapterTable
from mlxd.config.catalogue import ANY_NAME, leaves, table_at
from mlxd.config.fields import Reload, is_secret, reload_class
from mlxd.config.key_table import KeyTable
from mlxd.config.keys import dotted
from mlxd.config.loader import load_config, parse_config
from mlxd.config.model_tables import CacheTable
from mlxd.config.pin_table import PinTable
from mlxd.config.publish.json_schema import json_schema, json_schema_text
from mlxd.config.publish.reference import reference_toml
from mlxd.config.schema import Config, DefaultsTable, ModelTable, ServerTable

CONFIG = Path(__file__).parents[3] / "config"
LEAVES = {dotted(leaf.key): leaf.info for leaf in leaves(Config)}


def leaf_keys(values, at=()):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaf_keys(value, (*at, name))
        elif isinstance(value, list) and value and isinstance(value[0], dict):  # an array of tables
            yield from leaf_keys(value[0], (*at, name, ANY_NAME))
        else:
            yield (*at, name)


@pytest.mark.parametrize("key", LEAVES)
def test_every_field_has_a_description_and_a_reload_class(key):
    info = LEAVES[key]
    assert info.description
    assert info.description[-1] in ".?"
    assert reload_class(info) in set(Reload)


def test_no_field_was_overlooked():
    server = ServerTable(keys=(KeyTable(name="n", key="k"),))
    cache = CacheTable(pin=(PinTable(name="n", prompt_file="f"),))
    model = ModelTable(source="org/name", cache=cache, adapters={"a": AdapterTable(source="org/lora")})
    dumped = Config(server=server, defaults=DefaultsTable(cache=cache), models={"m": model}).model_dump(mode="json")
    found = {dotted(key).replace("models.m.", f'models."{ANY_NAME}".') for key in leaf_keys(dumped)}
    assert {key.replace("adapters.a.", f'adapters."{ANY_NAME}".') for key in found} == set(LEAVES)


def test_whatever_is_called_a_key_or_a_token_is_a_secret():
    assert {key for key, info in LEAVES.items() if is_secret(info)} == {
        "server.api_keys",
        'server.keys."*".key',
        "admin.token",
        "admin.read_token",
    }
    files = {f"{table}.tls.key" for table in ("server", "admin", "metrics")}  # the paths of keys
    assert {key for key in LEAVES if re.search(r"(^|[._])(token|(api_)?keys?|password|secret)$", key)} - files == {
        key for key, info in LEAVES.items() if is_secret(info)
    }


def test_the_default_configuration_is_what_make_run_promises():
    config = load_config(CONFIG / "mlxd.toml", {}).config
    assert {name: (model.source, model.aliases) for name, model in config.models.items()} == {
        "smollm2": ("builtin:smollm2-135m", ("default",))
    }
    assert [str(address) for address in config.server.listen] == ["127.0.0.1:8000"]
    assert [str(address) for address in config.admin.listen] == [f"unix:{Path('~/.mlxd/admin.sock').expanduser()}"]
    assert config.models["smollm2"].batching.mode == "continuous"


def test_the_full_file_is_current():
    assert (CONFIG / "mlxd.full.toml").read_text() == reference_toml(), "run: make docs"


def test_the_example_of_vectors_has_a_model_of_each_task():
    config = load_config(CONFIG / "embeddings.toml", {}).config
    assert {name: model.task for name, model in config.models.items()} == {"smollm2": "auto", "minilm": "embed", "judge": "rerank"}


def test_the_full_file_loads_to_the_defaults():
    config = load_config(CONFIG / "mlxd.full.toml", {}).config
    assert config == Config(models={"smollm2": ModelTable(source="builtin:smollm2-135m")})


def uncommented():
    """The full file with all that it comments out: single fields, and tables that there may be several of, which end at an empty line."""
    text = re.sub(r"^# (\w+ = .*  # not .*)$", r"\1", (CONFIG / "mlxd.full.toml").read_text(), flags=re.MULTILINE)
    table = r"^# \[[\[a-z0-9.]+\]+\n.*?(\n\n|\Z)"
    return re.sub(table, lambda block: re.sub(r"(?m)^# (\[[\[m]|\w+ = )", r"\1", block[0]), text, flags=re.MULTILINE | re.DOTALL)


def test_the_full_file_has_every_field_once():
    written = [dotted(key) for key in leaf_keys(tomllib.loads(uncommented()))]
    inherited = "models.smollm2.(batching|cache|lifecycle|worker|sampling|input|output|speculation)."
    expected = [key.replace(f'models."{ANY_NAME}"', "models.smollm2").replace(f'adapters."{ANY_NAME}"', "adapters.sql") for key in LEAVES]
    assert sorted(written) == sorted(key for key in expected if not re.match(inherited, key))


def test_what_the_full_file_comments_out_may_be_set(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "support.txt").write_text("You help.")
    text = uncommented().replace('mode = "simple"', 'mode = "continuous"')  # what it takes for a quota to be of use
    parse_config(text, tmp_path / "mlxd.full.toml", {"AGENTS_KEY": "made-up"})


def test_the_json_schema_is_current():
    assert (CONFIG / "mlxd.schema.json").read_text() == json_schema_text(), (
        "run: python -m mlxd.config.publish.json_schema > config/mlxd.schema.json"
    )


def test_the_json_schema_refuses_what_the_loader_refuses():
    schema = json_schema()
    tables = schema["$defs"]
    assert schema["additionalProperties"] is False
    assert all(table["additionalProperties"] is False for table in tables.values())
    assert tables["ModelTable"]["required"] == ["source"]
    assert tables["BatchingTable"]["properties"]["mode"]["enum"] == ["simple", "continuous"]
    assert tables["SamplingTable"]["properties"]["max_tokens"]["type"] == "integer"  # TOML has no null
    assert schema["properties"]["models"]["additionalProperties"] == {"$ref": "#/$defs/ModelTable"}


def test_the_json_schema_describes_every_field():
    tables = json_schema()["$defs"]
    for leaf in leaves(Config):
        parent = table_at(Config, leaf.key[:-1])
        field = tables[parent.__name__]["properties"][leaf.key[-1]]
        assert leaf.info.description in field["description"]


def test_generated_files_name_no_machine():
    home = str(Path.home())
    for text in (json_schema_text(), reference_toml()):
        assert home == "/" or home not in text
    assert json.loads(json_schema_text())["$defs"]["AdminTable"]["properties"]["listen"]["default"] == "unix:~/.mlxd/admin.sock"
