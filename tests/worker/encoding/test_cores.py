"""A worker that encodes leaves half of the cores to others, where OpenBLAS would take all of them."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes
from mlxd.worker.runtime.blas import leave_cores, load_openblas
if load_openblas():
    leave_cores()
    print(ctypes.CDLL("libopenblas.so.0").openblas_get_num_threads())
else:
    leave_cores()
    print("none")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing computes with OpenBLAS")
def test_openblas_has_half_of_the_cores():
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout.strip()
    assert told in {"none", str(max(1, len(os.sched_getaffinity(0)) // 2))}
