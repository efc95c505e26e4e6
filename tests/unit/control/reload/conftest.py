"""A reloader whose first file has or has not been taken over."""

import pytest

from tests.unit.control.reload.rig import Rig


@pytest.fixture
async def rig(tmp_path):
    return Rig(tmp_path / "mlxd.toml")


@pytest.fixture
async def settled(rig):
    """The models of the first file have been what they are to be."""
    await rig.reload()
    rig.host.steps.clear()
    rig.host.waited.clear()
    rig.told.clear()
    rig.host.settling.clear()
    return rig
