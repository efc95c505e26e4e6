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
    # models: where they are, and how their libraries behave
    "MLXD_HOME", "HF_*", "HUGGINGFACE_*", "HUGGING_FACE_*", "TRANSFORMERS_*", "TOKENIZERS_*",
    # devices, their libraries, and the compiler that MLX's CPU backend calls
    "MLX_*", "MTL_*", "METAL_*", "CUDA_*", "NVIDIA_*", "NCCL_*", "OMP_*", "OPENBLAS_*", "VECLIB_*", "MKL_*", "GOTO_*",
    "CC", "CXX", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "SDKROOT", "DEVELOPER_DIR",
)  # fmt: skip
# Proxies and indexes are often written with a password in them: whoever fetches nothing gets none.
FETCHING = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_*", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC")
FETCHING_BUILTIN = ("PIP_*",)
FETCHING_FROM_THE_HUB = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # private models need one of them
_SECRET = re.compile(r"(KEY|KEYS|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$")


def command(module: str) -> tuple[str, ...]:
    """Runs ``module`` in our interpreter; further arguments may follow. ``-P``: a ``queue.py`` that lies about is not the library's."""
    return (sys.executable, "-P", "-m", module)


def environment(environ: Mapping[str, str], *sources: str) -> dict[str, str]:
    """Returns what of ``environ`` a process gets for what is at ``sources``. A name that ends as secrets do is none of it, but for the
    hub's own token where any of that is of the hub.
    """
    patterns = (*PASSED_ON, *(pattern for source in sources for pattern in _for_fetching(source)))
    passed = {name: value for name, value in environ.items() if _is_passed_on(name.upper(), patterns)}  # proxies are written both ways
    if "PYTHONPATH" in passed:
        passed["PYTHONPATH"] = _without_relative(passed["PYTHONPATH"])
    return passed


def _for_fetching(source: str) -> tuple[str, ...]:
    if source.startswith(("/", "./", "../", "~")):
        return ()
    return (*FETCHING, *(FETCHING_BUILTIN if source.startswith("builtin:") else FETCHING_FROM_THE_HUB))


def _is_passed_on(name: str, patterns: tuple[str, ...]) -> bool:
    if _SECRET.search(name):
        return name in patterns
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in patterns)


def _without_relative(path: str) -> str:
    """An empty or relative entry is the working directory again."""
    return os.pathsep.join(entry for entry in path.split(os.pathsep) if Path(entry).is_absolute())
