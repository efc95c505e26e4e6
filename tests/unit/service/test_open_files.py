"""In a process of its own: limits cannot be given back. With small numbers: whoever runs the tests may have a low limit already."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from mlxd.service import open_files
open_files._WANTED = 300
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
open_files.raise_open_files_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [((100, 400), (300, 400)), ((100, 200), (200, 200)), ((350, 400), (350, 400))],
    ids=["raised", "as far as it goes", "more already"],
)
def test_the_soft_limit_is_raised_within_the_hard_one(before, after):
    done = subprocess.run([sys.executable, "-c", SCRIPT, *map(str, before)], capture_output=True, text=True, timeout=60, check=True)
    assert tuple(map(int, done.stdout.split())) == after
