"""A daemon in a control group whose tasks stand still for want of memory, by the kernel's own account; its workers are fakes."""

import os
import subprocess
import sys

import pytest

from mlxd.control.memory.governor import LADDER
from tests.e2e.daemon_process import DaemonProcess
from tests.support.control_groups import ControlGroups, NoControlGroupsError

TOML = """
[models.tiny]
source = "{dir}/ok"
lifecycle = { pin = true }
"""


@pytest.fixture
def groups():
    if os.environ.get("MLXD_REAL_PRESSURE") != "1":
        pytest.skip("it makes other programs of the machine stand still, too: MLXD_REAL_PRESSURE=1 runs it")
    try:
        with ControlGroups() as made:
            yield made
    except NoControlGroupsError as reason:
        pytest.skip(str(reason))


def test_stalls_of_the_group_make_it_give_back_and_it_takes_again_when_they_are_over(tmp_path, groups):
    def start(module, *arguments, stdout, stderr, env):
        command = groups.entering(sys.executable, "-m", module, *arguments)
        return subprocess.Popen(command, stdout=stdout, stderr=stderr, env=env)

    (tmp_path / "ok").mkdir()
    environment = {"MLXD_TEST_PRESSURE": "real", "PYTHONPATH": os.pathsep.join(sys.path)}
    with DaemonProcess(tmp_path, TOML, module="tests.support.fake_daemon", env=environment, start=start) as daemon:
        daemon.wait_ready()
        assert relief(daemon)["level"] == "normal"
        groups.hog(tmp_path, 4)
        daemon.until(lambda: relief(daemon)["measures"][:2] == ["shrink_buffers", "evict_blocks"], "it gives back")
        assert relief(daemon)["level"] in {"warning", "critical"}
        groups.rest()
        daemon.until(lambda: relief(daemon)["measures"] == [], "it takes again")
        assert relief(daemon)["level"] == "normal"
        taken = [line["measure"] for line in daemon.events("memory_relief_taken")]
        lifted = [line["measure"] for line in daemon.events("memory_relief_lifted")]
        assert list(dict.fromkeys(taken)) == [name for name in map(str, LADDER) if name in taken], "in the declared order"
        assert lifted[-1] == "shrink_buffers"
        assert daemon.admin("/livez")[0] == 200
        assert daemon.model()["state"] == "ready"


def relief(daemon):
    return daemon.admin("/admin/v1/memory")[1]["relief"]
