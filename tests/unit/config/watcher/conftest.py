"""A file in a directory of its own, and a watcher on it."""

import pytest

from tests.unit.config.watcher.rig import FIRST, watching


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "conf" / "mlxd.toml"
    made.parent.mkdir()
    made.write_text(FIRST)
    return made


@pytest.fixture
async def rig(path):
    async with watching(path) as started:
        yield started
