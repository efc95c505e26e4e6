"""In a process of its own: limits cannot be given back."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from mlxd.service.open_files import raise_open_files_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
raise_open_files_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [((256, 12000), (10240, 12000)), ((256, 512), (512, 512)), ((11000, 12000), (11000, 12000))],
    ids=["raised", "as far as it goes", "more already"],
)
def test_the_soft_limit_is_raised_within_the_hard_one(before, after):
    done = subprocess.run([sys.executable, "-c", SCRIPT, *map(str, before)], capture_output=True, text=True, timeout=60, check=True)
    assert tuple(map(int, done.stdout.split())) == after
