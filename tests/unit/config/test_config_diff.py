"""What differs between two configurations: nothing left out, nothing twice, nothing secret."""

import json
from dataclasses import asdict

from hypothesis import given, settings

from mlxd.config.catalogue import ANY_NAME, field_at, leaves
from mlxd.config.diff import diff
from mlxd.config.fields import Reload, is_secret, reload_class
from mlxd.config.redact import REDACTED
from mlxd.config.schema import Config
from tests.support.configurations import (
    ADAPTER_FIELDS,
    DISKS,
    KEY_FIELDS,
    MEDIA,
    MODEL_FIELDS,
    MODEL_TABLES,
    SECRET,
    TOP_TABLES,
    configurations,
    load,
    pairs,
    text_of,
)
from tests.support.examples import examples

# A pair of configurations takes tens of milliseconds to draw: all that holds of one is looked at at once.
FEWER = settings(max_examples=examples(24))

MODEL = {"source": "org/name"}
KEYS = ("server", "keys")
PIN = ("name", "prompt_file", "form")


def document(**tables):
    return {"models": {"m": MODEL}} | tables


def model(**fields):
    return {"models": {"m": MODEL | fields}}


def paged(**fields):
    return model(batching={"mode": "continuous"}, **fields)


def changes(before, after):
    """By name: from what, to what, at what price, in which line."""
    found = diff(load(before), load(after))
    return {change.name: (change.before, change.after, change.reload, change.line) for change in found.all_changes}


def is_array(key):
    """Of several tables, which are known by their names."""
    return key == KEYS or key[-2:] == ("cache", "pin") or (key[0], key[-1]) == ("models", "adapters")


def table_of(key):
    """The table of an array that a key lies in, or is; None where it lies in none."""
    return next((key[: length + 1] for length in range(1, len(key)) if is_array(key[:length])), None)


def flat(loaded):
    """Every leaf that has an effect of its own, at its key, as it is written in a file."""
    found = {}

    def walk(values, at):
        for name, value in values.items():
            if isinstance(value, dict):
                walk(value, (*at, name))
            elif is_array((*at, name)):
                walk({table["name"]: table for table in value}, (*at, name))
            else:
                found[(*at, name)] = value

    walk(loaded.config.model_dump(mode="json", exclude={"defaults"}), ())
    return found


# ---- examples ----


def test_a_file_that_says_the_same_in_other_words_differs_in_nothing():
    before = document(server={"request_timeout": "10m", "listen": ["127.0.0.1:8000"]}, memory={"limit": "1GiB"})
    after = document(server={"request_timeout": "600s", "listen": "127.0.0.1:8000"}, memory={"limit": "1024MiB"}, log={"level": "info"})
    assert diff(load(before), load(after)).is_empty


def test_a_change_says_from_what_to_what_at_what_price_and_where():
    after = document(server={"drain_timeout": "1m"})
    assert changes(document(), after) == {"server.drain_timeout": ("30s", "1m", Reload.LIVE, _line("drain_timeout", after))}


def test_what_is_no_longer_set_goes_back_to_its_default_and_has_no_line():
    assert changes(document(server={"drain_timeout": "1m"}), document()) == {"server.drain_timeout": ("1m", "30s", Reload.LIVE, None)}


def test_a_default_is_seen_in_the_models_that_inherit_it():
    two = {"models": {"inherits": MODEL, "overrides": MODEL | {"batching": {"max_queue": 7}}}}
    after = {"defaults": {"batching": {"max_queue": 9}}} | two
    assert changes(two, after) == {"models.inherits.batching.max_queue": (256, 9, Reload.LIVE, _line("max_queue", after))}


def test_a_value_that_moves_from_the_defaults_into_the_model_is_no_change():
    before = document(defaults={"sampling": {"temperature": 0.5}})
    assert changes(before, model(sampling={"temperature": 0.5})) == {}


def test_names_that_need_quotes_have_them():
    before = {"models": {"qwen3:8b": MODEL}}
    after = {"models": {"qwen3:8b": MODEL | {"dtype": "float32"}}}
    assert list(changes(before, after)) == ['models."qwen3:8b".dtype']


def test_added_and_removed_models_are_named_in_the_files_order():
    before = {"models": dict.fromkeys(["a", "b", "c", "d"], MODEL)}
    after = {"models": dict.fromkeys(["z", "d", "y", "b"], MODEL)}
    found = diff(load(before), load(after))
    assert (found.added, found.removed, found.models) == (("z", "y"), ("a", "c"), {})


def test_the_order_of_models_is_no_change():
    before, after = ({"models": dict.fromkeys(names, MODEL)} for names in ("ab", "ba"))
    assert diff(load(before), load(after)).is_empty


def test_a_new_key_is_seen_and_not_shown():
    before = document(server={"api_keys": ["sesame-1"]}, admin={"token": "sesame-2"})
    after = document(server={"api_keys": ["sesame-1", "sesame-3"]})
    found = changes(before, after)
    assert found["server.api_keys"][:2] == ([REDACTED], [REDACTED, REDACTED])
    assert found["admin.token"][:2] == (REDACTED, "")


def test_a_key_that_is_exchanged_is_seen_though_it_is_shown_the_same():
    before, after = (document(server={"api_keys": [f"sesame-{number}"]}) for number in (1, 2))
    assert changes(before, after)["server.api_keys"][:2] == ([REDACTED], [REDACTED])


def test_keys_are_known_by_their_names_whatever_their_order():
    agents, people = {"name": "agents", "key": "sesame-1"}, {"name": "people", "key": "sesame-2", "max_concurrent": 3}
    before = document(server={"keys": [agents, people]})
    assert changes(before, document(server={"keys": [people, agents]})) == {}
    after = document(server={"keys": [people | {"max_concurrent": 4}, {"name": "new", "key": "sesame-3", "priority": 2}]})
    found = {name: change[:3] for name, change in changes(before, after).items()}
    assert found == {
        "server.keys.people.max_concurrent": (3, 4, Reload.LIVE),
        "server.keys.agents": ({"name": "agents", "key": REDACTED}, None, Reload.LIVE),
        "server.keys.new": (None, {"name": "new", "key": REDACTED, "priority": 2}, Reload.LIVE),
    }


def test_adapters_come_go_and_change_each_by_itself():
    sql, old = {"source": "org/sql", "aliases": ["coder"]}, {"source": "org/old"}
    before = paged(adapters={"sql": sql, "old": old})
    after = paged(adapters={"new": {"source": "./new", "load": "eager"}, "sql": sql | {"source": "org/sql@main"}}, adapter_memory="1GiB")
    found = {name: change[:3] for name, change in changes(before, after).items()}
    assert found == {
        "models.m.adapter_memory": ("256MiB", "1GiB", Reload.LIVE),
        "models.m.adapters.sql.source": ("org/sql", "org/sql@main", Reload.LIVE),
        "models.m.adapters.old": (old, None, Reload.LIVE),
        "models.m.adapters.new": (None, {"source": "/etc/mlxd/new", "load": "eager"}, Reload.LIVE),
    }


def test_the_order_of_adapters_is_no_change():
    both = {"a": {"source": "org/a"}, "b": {"source": "org/b"}}
    assert changes(paged(adapters=both), paged(adapters=dict(reversed(both.items())))) == {}


def _line(name, after):
    return next(number for number, line in enumerate(text_of(after).splitlines(), 1) if line.startswith(name))


# ---- properties ----


def test_the_strategies_know_every_field():
    top = {(name, field) for name, fields in TOP_TABLES.items() for field in fields if field not in ("tls", "media")}
    top |= {("server", "media", field) for field in MEDIA}
    top |= {(name, "tls", field) for name, fields in TOP_TABLES.items() if "tls" in fields for field in ("certificate", "key")}
    top |= {("server", "listen"), ("admin", "listen"), ("admin", "token"), ("admin", "read_token"), ("metrics", "listen")}
    shared = {(name, field) for name, fields in MODEL_TABLES.items() for field in fields} | {("batching", "mode"), ("cache", "kind")}
    shared = shared - {("cache", "disk")} | {("cache", "disk", field) for disk in DISKS for field in disk}
    shared = shared - {("cache", "pin")} | {("cache", "pin", ANY_NAME, field) for field in PIN}
    own = {(field,) for field in MODEL_FIELDS} | {("source",), ("aliases",)} | {("adapters", ANY_NAME, field) for field in ADAPTER_FIELDS}
    top |= {("server", "keys", ANY_NAME, field) for field in ["name", "key", *KEY_FIELDS]}
    known = top | {("defaults", *key) for key in shared} | {("models", ANY_NAME, *key) for key in shared | own}
    assert known == {leaf.key for leaf in leaves(Config)}


@FEWER
@given(configurations())
def test_nothing_differs_from_itself(document):
    assert diff(load(document), load(document)).is_empty


@FEWER
@given(pairs())
def test_the_laws_of_what_differs(pair):
    before, after = map(load, pair)
    found = diff(before, after)
    each_leaf_that_differs_is_there_once_with_its_class(before, after, found)
    the_changes_make_one_of_the_other(before, after, found)
    no_secret_is_in_it(found)
    a_line_is_that_of_the_key(text_of(pair[1]).splitlines(), found)
    the_way_back_has_before_and_after_exchanged(found, diff(after, before))


def each_leaf_that_differs_is_there_once_with_its_class(before, after, found):
    old, new = flat(before), flat(after)
    changed = [key for key in old if key in new and _raw(before, key) != _raw(after, key)]
    kept = before.config.models.keys() & after.config.models.keys()
    come_or_gone = {table_of(key) for key in old.keys() ^ new.keys() if table_of(key) and (key[0] != "models" or key[1] in kept)}
    assert sorted(change.key for change in found.all_changes) == sorted([*changed, *come_or_gone])
    for change in found.all_changes:
        assert change.reload is (Reload.LIVE if _is_whole(change) else reload_class(field_at(Config, change.key)))
    assert set(found.models) <= set(before.config.models) & set(after.config.models)
    assert set(found.added) == set(after.config.models) - set(before.config.models)
    assert set(found.removed) == set(before.config.models) - set(after.config.models)


def the_changes_make_one_of_the_other(before, after, found):
    made = {key: value for key, value in flat(before).items() if not (key[0] == "models" and key[1] in found.removed)}
    made |= {key: value for key, value in flat(after).items() if key[0] == "models" and key[1] in found.added}
    for change in found.all_changes:
        if _is_whole(change):
            made = {key: value for key, value in made.items() if key[: len(change.key)] != change.key}
            made |= {key: value for key, value in flat(after).items() if key[: len(change.key)] == change.key}
            assert (change.before is None) != (change.after is None)
        elif is_secret(field_at(Config, change.key)):
            made[change.key] = flat(after)[change.key]  # it is not shown
        else:
            assert made[change.key] == change.before
            made[change.key] = change.after
    assert made == flat(after)


def no_secret_is_in_it(found):
    assert SECRET not in json.dumps(asdict(found), default=str)


def a_line_is_that_of_the_key(lines, found):
    for change in found.all_changes:
        if change.line is not None and table_of(change.key) is None:  # these may be written inline
            assert lines[change.line - 1].startswith(f"{change.key[-1]} =")


def the_way_back_has_before_and_after_exchanged(forth, back):
    assert {one.key: (one.before, one.after) for one in forth.all_changes} == {one.key: (one.after, one.before) for one in back.all_changes}
    assert (set(forth.added), set(forth.removed)) == (set(back.removed), set(back.added))


def _raw(loaded, key):
    value = loaded.config
    for part in key:
        if isinstance(value, tuple):
            value = next(table for table in value if table.name == part)
        else:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def _is_whole(change):
    """Of a key that comes or goes with all it says."""
    return is_array(change.key[:-1])
