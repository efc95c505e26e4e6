"""Where and of what numbers are: without it no figure means anything later."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from mlxd import __version__


def describe() -> dict[str, Any]:
    """Versions, machine and date."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"mlxd": __version__, "python": platform.python_version(), **_installed("mlx", "mlx-lm", "mlx-cpu", "mlx-metal")},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cpu": _cpu_model(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "load_average": os.getloadavg(),
        },
    }


def one_line(facts: dict[str, Any]) -> str:
    """The same for people. The load average, at the start, shows whether the machine was quiet."""
    machine, versions = facts["machine"], facts["versions"]
    packages = ", ".join(f"{name} {number}" for name, number in versions.items() if name.startswith(("mlx", "vllm")))
    return f"{facts['date']}; {machine['cpu']}, {machine['cores']} cores, load {machine['load_average'][0]:.1f}; {packages}"


def _installed(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package.replace("-", "_")] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    if sys.platform == "darwin":
        asked = subprocess.run(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        return asked.stdout.strip() or platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
