"""docs/configuration.md is current, has every key once, and its example loads."""

import re
from pathlib import Path

import pytest

from mlxd.config.catalogue import ANY_NAME, defaults_as_written, leaves, table_at
from mlxd.config.fields import is_secret, reload_class
from mlxd.config.loader import parse_config
from mlxd.config.publish.manual import manual
from mlxd.config.schema import Config
from mlxd.config.units import parse_duration, parse_size

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"
TEXT = manual()
INHERITED = ("batching", "cache", "lifecycle", "worker", "sampling", "input", "output", "speculation")
LEAVES = [leaf for leaf in leaves(Config) if not (leaf.key[0] == "models" and leaf.key[2] in INHERITED)]


def section(key):
    name = ".".join("NAME" if part == ANY_NAME else str(part) for part in key).replace("adapters.NAME", "adapters.ADAPTER")
    is_array = len(key) > 2 and key[-1] == ANY_NAME and "adapters" not in key
    heading = f"### [[{name.removesuffix('.NAME')}]]\n" if is_array else f"### [{name}]\n"
    return re.split(r"^### ", TEXT.split(heading)[1], flags=re.MULTILINE)[0]


def test_it_is_current():
    assert PAGE.read_text() == TEXT, "run: make docs"


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: ".".join(map(str, leaf.key)))
def test_each_key_has_one_row_that_says_it_all(leaf):
    name, default = leaf.key[-1], defaults_as_written(table_at(Config, leaf.key[:-1]))[leaf.key[-1]]
    (row,) = re.findall(rf"^\| `{name}` \|.*$", section(leaf.key[:-1]), re.MULTILINE)
    _, value, shown, change, text = (cell.strip() for cell in row.strip("|").split(" | "))
    assert value
    assert change == f"*{reload_class(leaf.info)}*"
    assert leaf.info.description in text
    assert (shown in ("*unset*", "*required*")) == (default is None)
    assert is_secret(leaf.info) == ("(#secrets)" in value)


def test_no_row_is_of_another_key():
    rows = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert sorted(rows) == sorted(str(leaf.key[-1]) for leaf in LEAVES)


def test_every_link_leads_somewhere():
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
    for target in re.findall(r"\]\(([^#)][^)]*)\)", TEXT):
        assert (PAGE.parent / target).exists()


def test_the_example_loads():
    example = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL)[1]
    config = parse_config(example, Path("mlxd.toml"), {"MLXD_ADMIN_TOKEN": "made-up"}).config
    assert config.models["qwen3"].batching.mode == "continuous"
    assert config.models["qwen3"].lifecycle.idle_unload == 900
    assert config.models["qwen3"].sampling.temperature == 0.7


@pytest.mark.parametrize("heading", ["Durations", "Sizes"])
def test_the_values_it_shows_are_values(heading):
    parse = {"Durations": parse_duration, "Sizes": parse_size}[heading]
    shown = re.findall(r'`"([^"]+)"`', TEXT.split(f"### {heading}\n")[1].split("###")[0])
    assert len(shown) > 3
    assert all(parse(value) for value in shown)
