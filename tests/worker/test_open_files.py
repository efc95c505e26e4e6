"""A system that allows few open files: mlx_lm's import wants more, and a model must load all the same."""

import subprocess
import sys

import pytest

CODE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
import mlxd.worker.runtime.start
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after_import(soft, hard):
    code = CODE.format(soft=soft, hard=hard)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True).stdout.split()


@pytest.mark.parametrize(("soft", "hard"), [(256, 1024), (3000, 4000)])
def test_the_limit_stays_as_it_was(soft, hard):
    assert limits_after_import(soft, hard) == [str(soft), str(hard)]
