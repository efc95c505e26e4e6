"""mlxd cache: by the daemon, and by itself."""

import json

import pytest

from tests.unit.admin.test_disk_api import using
from tests.unit.disk_cache.blocks import TERMS, block, shelf


@pytest.fixture
def path(tmp_path):
    """A directory with what two models wrote."""
    path = tmp_path / "cache"
    for model, count in (("org/one", 2), ("two", 1)):
        shelf(path, model.encode() * 10, model=model).write([block(number) for number in range(count)], TERMS)
    return path


@pytest.fixture
def file(tmp_path, path):
    """A configuration that names the directory, and a daemon that does not run."""
    file = tmp_path / "mlxd.toml"
    file.write_text(f"""
admin.listen = "unix:{tmp_path}/nobody.sock"
[defaults]
batching.mode = "continuous"
cache.disk = {{ path = "{path}", limit = "1GiB" }}
[models."org/one"]
source = "org/one"
aliases = ["first"]
""")
    return str(file)


async def test_what_the_daemon_s_models_keep_is_shown(path, daemon, mlxd):
    daemon.models.all = [using("two", path)]
    shown = await mlxd("cache")
    assert shown.code == 0, shown.err
    head, why, titles, *rows = shown.lines[-5:]
    assert " ".join(shown.lines[:-4]).startswith(f"{path}  ")
    assert head.endswith("16 GiB")
    assert why == "two is off: it has no worker"
    assert titles.split() == ["MODEL", "WEIGHTS", "BLOCKS", "SIZE", "USED"]
    assert [row.split()[:3] for row in rows] == [["two", b"twotwo".hex(), "1"], ["org/one", b"org/on".hex(), "2"]]


async def test_a_model_s_blocks_are_removed_by_the_daemon(path, daemon, mlxd):
    daemon.models.all = [using("two", path)]
    removed = await mlxd("cache", "prune", "two")
    assert removed.code == 0
    assert removed.out.startswith(f"{path}: 1 block, ")
    assert "removed" in removed.out


async def test_without_a_cache_on_disk_it_says_so(mlxd):
    for arguments in (("cache", "show"), ("cache", "prune", "--all")):
        assert (await mlxd(*arguments)).out == "no model keeps anything on disk: cache.disk.path is not set\n"


async def test_where_no_daemon_answers_the_file_says_which_directories(path, file, run):
    shown = await run("cache", "--config", file, "--json")
    assert shown.err == f"mlxd: no daemon answers: what follows is of the directories that {file} names\n"
    (directory,) = json.loads(shown.out)["directories"]
    assert (directory["path"], directory["limit_bytes"], len(directory["caches"])) == (str(path), 2**30, 2)
    removed = await run("cache", "prune", "first", "--config", file)
    assert removed.out.startswith(f"{path}: 2 blocks, ")
    assert [row.model for row in shelf(path).directory.caches()] == ["two"]
    unknown = await run("cache", "prune", "nobody", "--config", file)
    assert (unknown.code, "there is no model 'nobody'" in unknown.err) == (1, True)


async def test_a_directory_can_be_named(path, run):
    assert "org/one" in (await run("cache", "--path", str(path))).out
    removed = await run("cache", "prune", "--all", "--path", str(path))
    assert removed.out.startswith(f"{path}: 3 blocks, ")
    assert list((path / "extents").iterdir()) == []


async def test_what_is_no_cache_is_told_and_stays(tmp_path, run):
    (tmp_path / "thesis.txt").touch()
    for arguments in (("cache",), ("cache", "prune", "--all")):
        told = await run(*arguments, "--path", str(tmp_path))
        assert (told.code, "holds no cache of mlxd" in told.out.replace("\n", " ")) == (1, True)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cache", "prune"), "needs the name of a MODEL, or --all"),
        (("cache", "prune", "two", "--all"), "needs the name of a MODEL, or --all"),
        (("cache", "show", "two"), "belong to cache prune"),
    ],
)
async def test_arguments_that_do_not_go_together(run, arguments, message):
    refused = await run(*arguments)
    assert (refused.code, message in refused.err) == (64, True)


async def test_without_a_daemon_and_a_file_there_is_nothing_to_look_at(run):
    assert (await run("cache")).code == 69
