"""The environment that vllm-mlx is run in: its own, for it wants other versions of mlx_lm and transformers than mlxd."""

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.tables import say

VERSION = "0.6.0"
HOME = Path(".benchmarks") / "vllm-mlx"
_ROOT = Path(__file__).resolve().parents[2]


def python() -> str | None:
    """Returns the interpreter of the environment that ``make`` made, or None."""
    interpreter = _ROOT / HOME / "bin" / "python"
    return str(interpreter) if interpreter.exists() else None


def versions(interpreter: str | None) -> dict[str, str]:
    """Returns the version of vllm-mlx that ``interpreter`` can import, with the mlx-lm beside it; nothing if it cannot."""
    asks = "from importlib.metadata import version; print(version('vllm-mlx'), version('mlx-lm'))"
    try:
        told = subprocess.run([interpreter or "", "-c", asks], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    vllm_mlx, mlx_lm = told.split()
    return {"vllm-mlx": f"{vllm_mlx} (with mlx-lm {mlx_lm})"}


def make() -> None:
    """Makes it where there is none: some gigabytes, for vllm-mlx wants torch. Raises ``BenchmarkError`` if it cannot be installed."""
    if python():
        return
    say(f"· an environment for vllm-mlx {VERSION} in {HOME} (minutes, and gigabytes)")
    new = (_ROOT / HOME).with_suffix(".new")
    venv.create(new, with_pip=True, clear=True)
    packages = [f"vllm-mlx=={VERSION}", *(["mlx[cpu]"] if sys.platform == "linux" else [])]
    command = [str(new / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    if subprocess.run(command, check=False).returncode:
        raise BenchmarkError("vllm-mlx could not be installed, see above")
    new.rename(_ROOT / HOME)
