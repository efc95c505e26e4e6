"""What ``mlxd doctor`` looks at: this machine, the configuration, and the daemon if there is one. Nothing here changes anything."""

import ctypes
import os
import platform
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from mlxd.config.keys import dotted
from mlxd.config.schema import Config
from mlxd.config.task_checks import unused_keys
from mlxd.control.memory.ledger import memory_limit
from mlxd.quantities import size
from mlxd.terminal.adapter_files import examine_adapters
from mlxd.terminal.model_files import examine_models

_PACKAGES = ("mlx", "mlx-lm")
_OPENBLAS = "libopenblas.so.0"  # what workers load before MLX
_MUCH = 0.9  # of RAM: beyond this the system itself runs short
_FEW_FILES = 1024  # one for each connection, and some for each model


class State(StrEnum):
    """A check ends in one of these states."""

    OK = "ok"
    WARNING = "warning"  # it works, but not as well as it could
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """A check says what was looked at, what was found, and what to do about it."""

    name: str
    state: State
    found: str
    hint: str = ""


def ok(name: str, found: str) -> Check:
    return Check(name, State.OK, found)


def machine() -> Iterator[Check]:
    """Yields the checks that need no configuration."""
    yield python()
    yield from map(package, _PACKAGES)
    if sys.platform == "linux":
        yield openblas()
    yield open_files()
    yield from caches()


def python() -> Check:
    """Checks the interpreter, and on a Mac whether it is a native one."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.platform == "darwin" and platform.machine() != "arm64":
        return Check("Python", State.FAILED, found, "MLX needs Apple silicon and a native arm64 Python, not one under Rosetta")
    return ok("Python", found)


def package(name: str) -> Check:
    """Checks a library that workers import, without importing it here."""
    try:
        return ok(name, version(name))
    except PackageNotFoundError:
        return Check(name, State.FAILED, "not installed", "install mlxd again, in the environment this mlxd runs in")


def openblas() -> Check:
    """Checks for OpenBLAS, which only Linux needs: without it, float32 products take ten times as long."""
    try:
        ctypes.CDLL(_OPENBLAS)
    except OSError:
        return Check(
            "OpenBLAS", State.WARNING, "not found: models are about ten times slower", "Debian: apt-get install libopenblas0-pthread"
        )
    return ok("OpenBLAS", _OPENBLAS)


def open_files() -> Check:
    """Checks how many files and sockets the daemon may have open, if it is started from here."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    if soft != resource.RLIM_INFINITY and soft < _FEW_FILES:
        return Check("open files", State.WARNING, f"at most {found}", f"`ulimit -n {_FEW_FILES * 4}` before mlxd is started")
    return ok("open files", f"at most {found}")


def caches() -> Iterator[Check]:
    """Checks the directories where models are kept."""
    from huggingface_hub.constants import HF_HUB_CACHE

    yield writable("Hugging Face cache", Path(HF_HUB_CACHE), "set HF_HOME to a directory that is")
    try:
        store = Path(os.environ.get("MLXD_HOME") or "~/.cache/mlxd").expanduser()
    except RuntimeError:
        yield Check("model store", State.FAILED, "this user has no home directory", "set HOME, or MLXD_HOME to a directory for models")
    else:
        yield writable("model store", store, "set MLXD_HOME to a directory that is")


def writable(name: str, directory: Path, hint: str) -> Check:
    """Checks that this user may write to ``directory``; one that is not there can be made."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check(name, State.FAILED, f"{directory} is not writable", hint)
    return ok(name, str(directory))


def sources(config: Config) -> Iterator[Check]:
    """Checks the files of models, and of their draft models, that are directories here."""
    for one in examine_models(config):
        key = dotted(one.key)
        name = f"model {one.model} speculation.draft" if one.is_draft else f"model {one.model}"
        unused = [] if one.task is None else unused_keys(config.models[one.model], (one.task,))
        if one.error is not None:
            hint = f"correct {key}" if one.key[-1] == "context_length" else f"make {key} the directory of a model"
            yield Check(name, State.FAILED, one.error, hint)
        elif unused:
            found = f"{one.directory} is of a model that does not generate: {', '.join(map(dotted, unused))} do nothing"
            yield Check(name, State.WARNING, found, "remove what does nothing")
        else:
            yield ok(name, one.directory)


def adapters(config: Config) -> Iterator[Check]:
    """Checks the files of adapters that are directories here."""
    for one in examine_adapters(config):
        name = f"adapter {one.asked.name}"
        if one.error is None:
            yield ok(name, one.said)
        else:
            yield Check(name, State.FAILED, one.error, f"make {dotted(one.asked.key)}.source the directory of an adapter")


def memory(config: Config) -> Check:
    """Compares ``memory.limit`` with the memory there is."""
    total = psutil.virtual_memory().total
    limit = memory_limit(config.memory.limit, total)
    found = f"memory.limit is {size(limit)} of {size(total)} RAM"
    if limit > _MUCH * total:
        return Check("memory", State.WARNING, found, "leave a tenth of RAM to the system: lower memory.limit")
    if config.memory.wired_limit:
        wired = f"memory.wired_limit is {size(config.memory.wired_limit)}"
        return Check("memory", State.WARNING, wired, "wired memory has panicked macOS kernels under load: 0 leaves it to the system")
    return ok("memory", found)
