"""Pins and quotas: whose they are, what their files hold, and what a change of one is."""

import shutil
from pathlib import Path

import pytest

from mlxd.cache_terms import CacheQuota, PinnedPrompt
from mlxd.config.diff import diff
from mlxd.config.fields import Reload
from mlxd.config.loader import load_config, parse_submitted
from mlxd.config.prompt_files import MAX_FILE
from mlxd.config.quotas import cache_quotas
from mlxd.config.redact import redacted
from mlxd.control.model.load_spec import limits, load_spec, worker_spec
from mlxd.control.planner import Action, Room, plan
from mlxd.errors import ConfigError

ENVIRON = {"GOOD_KEY": "key-from-environment"}
TEXT = "You are the assistant of a shop.\nBe kind."


@pytest.fixture
def home(tmp_path):
    return shutil.copytree(Path(__file__).parent / "pinned", tmp_path / "home")


def load(home):
    return load_config(home / "mlxd.toml", ENVIRON)


def pins(home, model):
    return limits(load(home).config.models[model]).pins


def test_a_model_has_its_own_pins_or_those_of_all_where_its_cache_is_paged(home):
    assert pins(home, "inherits") == (PinnedPrompt(name="support.txt", text=TEXT),)
    assert pins(home, "own") == (PinnedPrompt(name="shop", text=TEXT), PinnedPrompt(name="support.txt", text=TEXT, form="text"))
    assert pins(home, "simple") == ()


def test_each_paged_cache_has_the_quotas_of_keys_that_may_ask_for_its_model(home):
    file = home / "mlxd.toml"
    file.write_text(file.read_text().replace('cache_quota = "2MiB"', 'cache_quota = "2MiB"\nmodels = ["own"]'))
    agents, people = CacheQuota(holder="agents", fraction=0.3), CacheQuota(holder="people", size=2 * 2**20)
    assert cache_quotas(load(home).config) == {"inherits": (agents,), "own": (agents, people)}


def test_they_say_where_they_come_from_and_no_text_is_shown(home):
    shown = redacted(load(home))
    assert shown["config"]["models"]["own"]["cache"]["pin"][0] == {
        "name": "shop",
        "prompt_file": str(home / "prompts" / "support.txt"),
        "form": "system",
    }
    assert "assistant" not in str(shown)
    provenance = shown["provenance"]
    assert provenance["models.own.cache.pin.shop.prompt_file"] == 28
    assert provenance['models.inherits.cache.pin."support.txt".prompt_file'] == 18
    assert provenance["server.keys.agents.cache_quota"] == 7


def test_a_file_that_changes_is_a_live_change_and_needs_no_new_worker(home):
    before = load(home)
    (home / "prompts" / "support.txt").write_text("Another text.\n")
    after = load(home)
    path = str(home / "prompts" / "support.txt")
    changes = diff(before, after).models["own"]
    assert [(one.name, one.before, one.after, one.reload) for one in changes] == [
        (f"models.own.cache.pin.{name}.prompt_file", path, f"{path} (its content has changed)", Reload.LIVE)
        for name in ("shop", '"support.txt"')
    ]
    assert [(one.name, one.action) for one in plan(before, after, Room(0, {})).models] == [
        ("inherits", Action.LIVE),
        ("own", Action.LIVE),
        ("simple", Action.LIVE),
    ]
    specs = [worker_spec(load_spec("own", loaded.config.models["own"])) for loaded in (before, after)]
    assert specs[0] == specs[1]


def test_pins_that_come_and_go_are_live_changes(home):
    before, file = load(home), home / "mlxd.toml"
    file.write_text(file.read_text().replace('name = "shop"', 'name = "store"'))
    changes = {one.name: one.reload for one in diff(before, load(home)).models["own"]}
    assert changes == {"models.own.cache.pin.shop": Reload.LIVE, "models.own.cache.pin.store": Reload.LIVE}


@pytest.mark.parametrize("written", [TEXT, TEXT + "\n", TEXT + "\r\n", "\ufeff" + TEXT])
def test_marks_of_editors_are_none_of_the_text(home, written):
    (home / "prompts" / "support.txt").write_text(written, newline="")
    assert pins(home, "inherits")[0].text == TEXT


def test_a_file_that_is_too_large_is_refused(home):
    (home / "prompts" / "support.txt").write_text("x" * (MAX_FILE + 1))
    with pytest.raises(ConfigError, match=r"prompt_file: .*larger than 1 MiB"):
        load(home)


def test_a_file_that_may_not_be_read_is_refused(home, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mlxd.config.prompt_files.read_at_most", refuse)
    with pytest.raises(ConfigError, match=r"prompt_file: .*cannot be read \(Permission denied\)"):
        load(home)


def test_nothing_that_somebody_sends_is_read(home):
    text = (home / "mlxd.toml").read_text().replace("prompts/support.txt", "/etc/hostname")
    (pin,) = parse_submitted(text, home / "mlxd.toml").config.models["inherits"].cache.pin
    assert (pin.prompt_file.path, pin.prompt_file.text) == ("/etc/hostname", "")


def test_there_may_be_only_so_many(home):
    file = home / "mlxd.toml"
    more = "".join(f'\n[[models.own.cache.pin]]\nname = "{number}"\nprompt_file = "prompts/support.txt"\n' for number in range(33))
    file.write_text(file.read_text() + more)
    with pytest.raises(ConfigError, match="found 35 pins; there may be 32 at most"):
        load(home)
