"""Whatever stands in the file: a configuration, or a ConfigError whose problems each stand at a place."""

import json
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.config.catalogue import ANY_NAME, entries, leaves
from mlxd.config.loader import LoadedConfig, parse_config
from mlxd.config.schema import Config
from mlxd.errors import ConfigError
from tests.support.examples import examples

SECRET = "sesame-open"


def problems(text):
    """Empty where it loads; any other exception is a defect."""
    try:
        loaded = parse_config(text, Path("mlxd.toml"), {"SECRET": SECRET})
    except ConfigError as error:
        return error.problems or ["refused without a reason"]
    assert isinstance(loaded, LoadedConfig)
    return []


scalars = st.one_of(
    st.integers().map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.floats().map(repr).map(lambda text: text.replace("e+", "e")),
    st.text(max_size=10).map(json.dumps).filter(lambda text: "\\ud" not in text and "\x7f" not in text),
    st.sampled_from(['"30s"', '"2GiB"', '"10%"', '"auto"', '"0.0.0.0:80"', '"unix:/x"', '"org/name"', '"./x"', '"env:NOPE"', '"file:nope"',
                     '"continuous"', '"paged"', '"entries"', "1979-05-27", "07:32:00",
                     '[{ name = "a", key = "env:SECRET" }]', '[{ key = "env:SECRET", zzz = 1 }, { name = 3 }]',
                     "[]", "{}", '"info"', '"m"', '"env:SECRET"']),
)  # fmt: skip
values = st.one_of(
    scalars, st.lists(scalars, max_size=3).map(lambda items: f"[{', '.join(items)}]"), scalars.map(lambda item: f"{{ a = {item} }}")
)
tables = [("server", "keys")] + [entry.key for entry in entries(Config)] + [("defaults", name) for name in ("batching", "cache", "worker")]
paths = st.one_of(
    st.sampled_from(
        [leaf.key for leaf in leaves(Config)] + tables + [("zzz",), ("server", "zzz"), ("_env_file",), ("models", ANY_NAME, "zzz")]
    ),
).map(lambda key: ".".join("m" if part == ANY_NAME else part for part in key))
base = st.sampled_from(["", 'models.m.source = "org/name"', 'models.a.source = "org/a"\nmodels.b.source = "org/b"'])


@settings(max_examples=examples(120))
@given(base, st.dictionaries(paths, values, max_size=5))
def test_it_loads_or_says_why_not(start, fields):
    fields = {path: value for path, value in fields.items() if not any(other.startswith(path + ".") for other in fields)}
    fields = {path: value for path, value in fields.items() if f"{path} =" not in start and path != "models"}
    text = start + "".join(f"\n{path} = {value}" for path, value in fields.items())
    found = problems(text)
    assert len(set(found)) == len(found)
    assert all(re.match(r"mlxd\.toml(:\d+)?(:\d+)?: .", problem) for problem in found), found
    assert all(SECRET not in problem and "\n" not in problem for problem in found)


@given(st.text(max_size=200))
def test_any_text_at_all(text):
    assert all(problem.startswith("mlxd.toml") for problem in problems(text))
