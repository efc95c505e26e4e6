"""How a process of ours with the worker's code starts: none of the working directory's files, none of the daemon's secrets.

A worker runs libraries and reads models that others wrote. It gets what finding, fetching and computing a model needs, by name:
"What a worker's process gets" in docs/running.md is this list.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

# ``*`` ends a prefix.
PASSED_ON = (
    # who and where we are
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TMP", "TEMP", "TZ", "LANG", "LANGUAGE", "LC_*", "TERM", "XDG_*",
    # the interpreter, and how the system links what it loads
    "PYTHON*", "VIRTUAL_ENV", "LD_*", "DYLD_*", "MALLOC_*",
    # models: where they are, and how they are fetched
    "MLXD_HOME", "HF_*", "HUGGINGFACE_*", "HUGGING_FACE_*", "TRANSFORMERS_*", "TOKENIZERS_*", "PIP_*", "NETRC",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_*", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    # devices, their libraries, and the compiler that MLX's CPU backend calls
    "MLX_*", "MTL_*", "METAL_*", "CUDA_*", "NVIDIA_*", "NCCL_*", "OMP_*", "OPENBLAS_*", "VECLIB_*", "MKL_*", "GOTO_*",
    "CC", "CXX", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "SDKROOT", "DEVELOPER_DIR",
)  # fmt: skip
_SECRET = re.compile(r"(KEY|KEYS|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$")
_OF_THE_HUB = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})  # private models need one of them


def command(module: str) -> tuple[str, ...]:
    """Runs ``module`` in our interpreter; further arguments may follow. ``-P``: a ``queue.py`` that lies about is not the library's."""
    return (sys.executable, "-P", "-m", module)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of ``environ`` such a process gets. A name that ends as secrets do is none of it, but for the hub's own token."""
    passed = {name: value for name, value in environ.items() if _is_passed_on(name)}
    if "PYTHONPATH" in passed:
        passed["PYTHONPATH"] = _without_relative(passed["PYTHONPATH"])
    return passed


def _is_passed_on(name: str) -> bool:
    upper = name.upper()  # proxies are written both ways
    if _SECRET.search(upper):
        return upper in _OF_THE_HUB
    return any(upper.startswith(each[:-1]) if each.endswith("*") else upper == each for each in PASSED_ON)


def _without_relative(path: str) -> str:
    """An empty or relative entry is the working directory again."""
    return os.pathsep.join(entry for entry in path.split(os.pathsep) if Path(entry).is_absolute())
