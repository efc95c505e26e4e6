import subprocess
import sys


def test_nothing_that_sees_is_imported_for_a_model_of_text(tiny):
    """In a process of its own, for this one has imported everything. (Pillow, where it is, transformers imports whatever the model.)"""
    code = f"""
import sys
from pathlib import Path
from mlxd.worker.runtime import start
from mlxd.worker.runtime.loading import load
load(Path({str(tiny)!r}), dtype="auto", context_limit=None)
found = [name for name in sys.modules if name.split(".")[0] in ("mlx_vlm", "requests", "av", "cv2") or "image_process" in name]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", code], check=True)
