"""Links, chains of them, and a Kubernetes config map."""

import shutil

from tests.unit.config.watcher.rig import FIRST, watching


async def test_a_link_whose_target_is_written(tmp_path, path):
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    async with watching(link) as rig:
        path.write_text("second = 2\n")
        await rig.finds("second = 2\n")
        new = path.with_suffix(".tmp")
        new.write_text("third = 3\n")
        new.rename(path)
        await rig.finds("third = 3\n")


async def test_a_link_that_is_set_to_another_file(tmp_path, path):
    link, other = tmp_path / "link.toml", tmp_path / "elsewhere" / "other.toml"
    link.symlink_to(path)
    other.parent.mkdir()
    other.write_text("other = 1\n")
    async with watching(link) as rig:
        new = tmp_path / "link.new"
        new.symlink_to(other)
        new.rename(link)
        await rig.finds("other = 1\n")
        other.write_text("other = 2\n")  # its directory is watched now
        await rig.finds("other = 2\n")
        path.write_text("nobody = 'cares'\n")
        other.write_text("other = 3\n")
        await rig.finds("other = 3\n")
        assert rig.found == ["other = 1\n", "other = 2\n", "other = 3\n"]


async def test_a_chain_of_relative_links(tmp_path, path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mlxd.toml").symlink_to("../b/mlxd.toml")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mlxd.toml").symlink_to("../conf/mlxd.toml")
    async with watching(tmp_path / "a" / "mlxd.toml") as rig:
        path.write_text("second = 2\n")
        await rig.finds("second = 2\n")
        (tmp_path / "conf" / "other.toml").write_text("other = 1\n")
        (tmp_path / "b" / "new").symlink_to("../conf/other.toml")
        (tmp_path / "b" / "new").rename(tmp_path / "b" / "mlxd.toml")
        await rig.finds("other = 1\n")


async def test_a_config_map(tmp_path):
    """As a kubelet writes it: ``mlxd.toml -> ..data/mlxd.toml`` and ``..data -> ..DATE``, of which the latter is swapped."""

    def publish(date, text):
        (tmp_path / date).mkdir()
        (tmp_path / date / "mlxd.toml").write_text(text)
        new = tmp_path / "..data_tmp"
        new.symlink_to(date)
        new.rename(tmp_path / "..data")

    publish("..2026_01", FIRST)
    link = tmp_path / "mlxd.toml"
    link.symlink_to("..data/mlxd.toml")
    async with watching(link) as rig:
        for date in ("..2026_02", "..2026_03"):
            publish(date, f"date = '{date}'\n")
            await rig.finds(f"date = '{date}'\n")
        shutil.rmtree(tmp_path / "..2026_01")  # a kubelet cleans up after
        publish("..2026_04", "last = 1\n")
        await rig.finds("last = 1\n")
        assert len(rig.found) == 3


async def test_a_link_to_the_directory_is_swapped(tmp_path):
    """As releases are deployed: ``current -> releases/1``."""
    for number in (1, 2):
        (tmp_path / "releases" / str(number)).mkdir(parents=True)
        (tmp_path / "releases" / str(number) / "mlxd.toml").write_text(f"release = {number}\n")
    (tmp_path / "current").symlink_to("releases/1")
    async with watching(tmp_path / "current" / "mlxd.toml") as rig:
        (tmp_path / "new").symlink_to("releases/2")
        (tmp_path / "new").rename(tmp_path / "current")
        await rig.finds("release = 2\n")
        (tmp_path / "releases" / "2" / "mlxd.toml").write_text("release = 2.1\n")
        await rig.finds("release = 2.1\n")


async def test_links_in_a_circle_are_no_endless_loop(tmp_path, path):
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    async with watching(link) as rig:
        link.unlink()
        link.symlink_to("link.toml")
        await rig.looks_again()
        link.unlink()
        link.symlink_to(path)
        path.write_text("second = 2\n")
        await rig.finds("second = 2\n")
