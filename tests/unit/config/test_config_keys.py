"""Who may ask, by the keys of a configuration."""

import re
from pathlib import Path

import pytest

from mlxd.config.loader import parse_config
from mlxd.config.principal import ANONYMOUS, API_KEYS, Principal, means, principals
from mlxd.config.quotas import cache_quotas
from mlxd.errors import ConfigError

MODELS = '[models.qwen3]\nsource = "org/name"\n[models.coder]\nsource = "org/coder"\naliases = ["claude-sonnet"]\n'
NAMED = '[[server.keys]]\nname = "agents"\nkey = "sesame"\n'


def holders(text):
    return principals(parse_config(text + MODELS, Path("mlxd.toml"), {"AGENTS_KEY": "made-up"}).config.server)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["anonymous"]),
        ('[server]\napi_keys = ["a", "b"]\n', ["api_keys"]),
        (NAMED, ["agents"]),
        ('[server]\napi_keys = ["a"]\n' + NAMED, ["agents", "api_keys"]),
    ],
)
def test_who_may_ask(text, names):
    assert [holder.name for holder in holders(text)] == names


def test_the_page_s_example_loads():
    page = (Path(__file__).parents[3] / "docs" / "inference-api.md").read_text()
    (example,) = re.findall(r"```toml\n(\[\[server.keys\]\]\n.*?)```", page, re.DOTALL)
    assert holders(example) == (
        Principal(
            name="agents",
            models=("qwen3", "coder*"),
            max_concurrent=8,
            requests_per_minute=600,
            tokens_per_minute=200_000,
            priority=5,
            salt="key:agents",
        ),
    )


@pytest.mark.parametrize("holder", [ANONYMOUS, API_KEYS])
def test_those_without_names_may_do_everything(holder):
    assert not holder.is_named
    assert (holder.bounded(None), holder.bounded(-9), holder.salt) == (0, -9, "")


@pytest.mark.parametrize(
    ("items", "qwen3", "coder"),
    [
        (["qwen3"], True, False),
        (["claude-sonnet"], False, True),
        (["claude-*"], False, True),
        (["*"], True, True),
        (["q*3", "c*r"], True, True),
        (["q"], False, False),
        (["Qwen3*"], False, False),
        (["nothing-yet-*"], False, False),
    ],
)
def test_models_are_named_by_id_alias_or_pattern(items, qwen3, coder):
    found = [any(means(item, (model, *aliases)) for item in items) for model, aliases in (("qwen3", ()), ("coder", ("claude-sonnet",)))]
    assert found == [qwen3, coder]


def test_a_listener_beyond_this_machine_is_guarded_by_named_keys():
    assert holders('[server]\nlisten = "0.0.0.0:1"\ncors_origins = ["*"]\n' + NAMED)[0].name == "agents"
    with pytest.raises(ConfigError, match="which other machines can reach"):
        holders('[server]\nlisten = "0.0.0.0:1"\nkeys = []\n')


def test_there_are_not_more_keys_than_metrics_bear():
    many = "".join(f'[[server.keys]]\nname = "k{number}"\nkey = "sesame-{number}"\n' for number in range(257))
    with pytest.raises(ConfigError, match="found 257 keys; there may be 256 at most"):
        holders(many)


ADAPTED = """
[models.qwen3]
source = "org/a"
batching.mode = "continuous"
[models.qwen3.adapters.sql]
source = "org/sql"
aliases = ["coder"]
[models.plain]
source = "org/b"
batching.mode = "continuous"
[[server.keys]]
name = "agents"
key = "sesame"
cache_quota = "10%"
"""


@pytest.mark.parametrize("name", ["qwen3", "qwen3:sql", "coder", "*:sql", "cod*"])
def test_a_key_for_an_adapter_has_its_quota_in_the_cache_of_the_adapter_s_model(name):
    quotas = cache_quotas(parse_config(f'{ADAPTED}models = ["{name}"]\n', Path("mlxd.toml"), {}).config)
    assert [one.holder for one in quotas["qwen3"]] == ["agents"]
    assert quotas["plain"] == ()


def test_an_adapter_that_no_model_has_is_named_with_those_there_are():
    with pytest.raises(
        ConfigError, match='found "qwen3:law", which is no model\'s name or alias; there are: "qwen3", "plain", "qwen3:sql"'
    ):
        parse_config(f'{ADAPTED}models = ["qwen3:law"]\n', Path("mlxd.toml"), {})
