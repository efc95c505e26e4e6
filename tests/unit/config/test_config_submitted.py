"""Texts that somebody sends to be validated or compared: nothing that they name is read, and none can keep a thread for long."""

import os
import time
from pathlib import Path

import pytest

from mlxd.config.bounds import MAX_DEPTH, MAX_ITEMS, excess
from mlxd.config.loader import parse_config, parse_submitted
from mlxd.errors import ConfigError

MODEL = "[models.m]\nsource = 'org/name'\n"
PATH = Path("mlxd.toml")


def problems(text, parse=parse_submitted):
    with pytest.raises(ConfigError) as refused:
        parse(text, PATH)
    return refused.value.problems


def from_this_machine(text, path):
    return parse_config(text, path, {})


# ---- what a text names ----


def test_references_stay_as_they_are_written(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("sesame")
    monkeypatch.setenv("MLXD_KEY", "sesame")
    text = f"[server]\napi_keys = ['env:MLXD_KEY', 'file:{tmp_path}/key', 'file:/dev/zero', 'file:/none', 'plain']\n" + MODEL
    keys = parse_submitted(text, PATH).config.server.api_keys
    assert keys == ("env:MLXD_KEY", f"file:{tmp_path}/key", "file:/dev/zero", "file:/none", "plain")


@pytest.mark.parametrize("reference", ["file:/dev/zero", "file:/dev/tty", "file:/etc/shadow", "file:/no/such", "env:HOME", "env:NO_SUCH"])
def test_no_message_tells_what_exists(reference):
    assert parse_submitted(f"[admin]\ntoken = '{reference}'\n{MODEL}", PATH).config.admin.token == reference


@pytest.mark.parametrize(("token", "said"), [("env:", "without a name"), ("file:", "without a path"), ("two words", "bearer token")])
def test_what_is_no_reference_is_still_refused(token, said):
    [problem] = problems(f"[admin]\ntoken = '{token}'\n{MODEL}")
    assert said in problem


@pytest.mark.parametrize("user", ["root", "no-such-user-here"])
def test_users_are_not_told_apart(user):
    [problem] = problems(f"[models.m]\nsource = '~{user}/model'\n")
    assert 'stands for the home of this user, as in "~/models"' in problem


# ---- files of secrets, in the file itself ----


def test_a_secret_is_read_from_a_regular_file_only(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", "/dev/null", f"{tmp_path}/pipe"):
        [problem] = problems(f"[admin]\ntoken = 'file:{name}'\n{MODEL}", from_this_machine)
        assert "it is no regular file" in problem


def test_a_link_to_a_regular_file_is_one(tmp_path):
    (tmp_path / "data").write_text("sesame\n")
    (tmp_path / "link").symlink_to("data")
    config = parse_config(f"[admin]\ntoken = 'file:{tmp_path}/link'\n{MODEL}", PATH, {}).config
    assert config.admin.token == "sesame"


def test_a_secret_is_never_cut(tmp_path):
    (tmp_path / "large").write_text("s" * (16 * 1024 + 1))
    [problem] = problems(f"[admin]\ntoken = 'file:{tmp_path}/large'\n{MODEL}", from_this_machine)
    assert "is larger than 16 KiB" in problem


# ---- bounds ----

MANY = MAX_ITEMS + 1
TOO_MUCH = {
    "dotted": "a." * 500_000 + "a = 1",
    "spaced": "a . " * 500_000 + "a = 1",
    "quoted": '"a".' * 500_000 + "a = 1",
    "header": "[" + "a." * 500_000 + "a]",
    "arrays": "x = " + "[" * 100_000,
    "tables": "x = " + "{a=" * 100_000,
    "keys": "".join(f"k{n} = 1\n" for n in range(MANY)),
    "headers": "".join(f"[k{n}]\n" for n in range(MANY)),
    "array tables": "[[models]]\n" * MANY,
    "items": "x = [" + "1," * MANY + "]",
    "inline": "x = {" + ",".join(f"k{n} = 1" for n in range(MANY)) + "}",
    "over a string": 'x = """' + "a" * 100_000 + '"""\n' + "a." * 100_000 + "a = 1",
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_would_take_long_is_refused_at_once(name):
    began = time.process_time()
    [problem] = problems(TOO_MUCH[name])
    assert ("nested too deeply" in problem) or (f"more than {MAX_ITEMS}" in problem)
    assert time.process_time() - began < 5


THOUSANDS = MAX_ITEMS // 5
OFTEN = THOUSANDS // 2
MANY_TIMES_THE_SAME = {
    "models with a mistake each": "".join(f"[models.m{n}]\nsource = 'nowhere'\n" for n in range(OFTEN)),
    "unknown keys": "".join(f"k{n} = 1\n" for n in range(OFTEN)) + MODEL,
    "unknown keys of models": "".join(f"[models.m{n}]\nsorce = 'a/b'\n" for n in range(OFTEN)),
}


@pytest.mark.parametrize("name", MANY_TIMES_THE_SAME)
def test_what_is_allowed_takes_seconds_at_most(name):
    """All of it takes time by its length; by its square, it would be a quarter of a minute."""
    began = time.process_time()
    assert len(problems(MANY_TIMES_THE_SAME[name])) == 100
    assert time.process_time() - began < 6


def test_thousands_of_models_take_seconds_at_most():
    text = "[defaults.sampling]\ntemperature = 0.5\n" + "".join(f"[models.m{n}]\nsource = 'org/name'\n" for n in range(THOUSANDS))
    began = time.process_time()
    assert len(parse_submitted(text, PATH).config.models) == THOUSANDS
    assert time.process_time() - began < 3  # where each model looks at the lines of all others, it is five


HARMLESS = {
    "comments": "# a.b.c = [[[[[[[[[[[[[[[[[[[[[\n" * 50_000,
    "basic": 'x = "' + "a.[{=," * 100_000 + '"',
    "escapes": 'x = "' + '\\"' * 500_000 + '"',
    "literal": "x = '" + '"[' * 100_000 + "'",
    "lines": 'x = """' + 'a = [\n""\\"' * 50_000 + '"""',
    "literal lines": "x = '''" + "a = [\n''" * 50_000 + "'''",
    "deep enough": "x = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH,
    "floats": "x = [" + "1.5, " * 1000 + "]",
    "blank": "\n \t" * 500_000,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_looks_like_much_is_not_refused(name):
    assert excess(HARMLESS[name]) is None


@pytest.mark.parametrize("text", ['x = "', 'x = """' + '\\"""' * 500_000, "x = '''" + "'" * 2, 'x = "' + "\\" * 1_000_001, "\x00" * 10])
def test_what_is_no_toml_is_left_to_the_parser(text):
    began = time.process_time()
    assert excess(text) is None
    assert time.process_time() - began < 5


def test_of_very_many_problems_the_first_hundred_are_told():
    found = problems("".join(f"k{n} = 1\n" for n in range(300)) + MODEL)
    assert len(found) == 100
    assert found[0].startswith("mlxd.toml:1: k0: unknown key")
    assert found[-1] == "and 201 more problems"


def test_a_key_of_a_megabyte_is_cut():
    found = problems("k" * 2**20 + " = 1\n" + MODEL)
    assert len("\n".join(found)) < 1000
    [twice] = problems(f"{'k' * 2**20} = 1\n{'k' * 2**20} = 1\n")
    assert len(twice) <= 500
