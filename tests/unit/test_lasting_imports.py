"""What large imports leave is passed over by the garbage collector, and it goes on for everything else."""

import subprocess
import sys

CODE = """
import gc
from mlxd.lasting_imports import lasting_imports
with lasting_imports():
    assert not gc.isenabled()
    import {module}
print(gc.isenabled(), gc.get_freeze_count(), len(gc.get_objects()))
with lasting_imports():
    import gc
    held = [[] for _ in range(1000)]
print(gc.isenabled(), gc.get_freeze_count(), len(gc.get_objects()))
"""


def after(module):
    done = subprocess.run([sys.executable, "-c", CODE.format(module=module)], capture_output=True, text=True, timeout=120, check=True)
    return [(enabled == "True", int(frozen), int(left)) for enabled, frozen, left in map(str.split, done.stdout.splitlines())]


def test_what_was_imported_is_passed_over():
    (enabled, frozen, left), _ = after("mlxd.daemon")
    assert enabled
    assert frozen > 30_000
    assert left < 1000


def test_where_nothing_was_imported_nothing_is():
    (_, before, _), (enabled, frozen, left) = after("json")
    assert enabled
    assert frozen <= before
    assert left > 1000
