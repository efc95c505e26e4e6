"""``python -m mlxd.worker.pull [--adapter] SOURCE``: fetch a model, or an adapter, for ``mlxd pull``, in a process of its own.

Standard output carries one JSON object per line: ``{"stage", "done", "total"}`` any number of times, then either
``{"path"}`` with exit code 0, or ``{"error": {"code", "message"}}`` with exit code 1.
"""

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from mlxd.errors import MlxdError
from mlxd.worker.facts.adapters.directory import read_adapter
from mlxd.worker.fetch.adapter import fetch_adapter
from mlxd.worker.fetch.progress import Progress
from mlxd.worker.runtime.source import pull_model

_ADAPTER = "--adapter"
Emit = Callable[[dict[str, Any]], None]


def main(arguments: list[str]) -> int:
    """Pulls what ``arguments`` name, and returns the exit code."""
    *flags, source = arguments or [""]
    if not source or flags not in ([], [_ADAPTER]):
        sys.stderr.write(f"usage: python -m mlxd.worker.pull [{_ADAPTER}] SOURCE\n")
        return 64
    emit = _line_writer()
    with contextlib.redirect_stdout(sys.stderr):  # whatever libraries print
        try:
            return _pull(source, _pull_adapter if flags else pull_model, emit)
        except BrokenPipeError:
            return 1  # nobody reads any more


def _pull_adapter(source: str, _: Progress) -> Path:
    path = fetch_adapter(source, anew=True)
    read_adapter(path)
    return path


def _pull(source: str, fetch: Callable[[str, Progress], Path], emit: Emit) -> int:
    def progress(stage: str, done: int, total: int) -> None:
        emit({"stage": stage, "done": done, "total": total})

    try:
        path = fetch(source, progress)
    except BrokenPipeError:
        raise
    except MlxdError as error:
        return _fail(emit, error.code, error.message)
    except Exception as error:  # noqa: BLE001  the last resort of a process: reported with its traceback
        traceback.print_exc()
        return _fail(emit, MlxdError.code, f"{source} cannot be fetched: {type(error).__name__}: {error}")
    emit({"path": str(path)})
    return 0


def _fail(emit: Emit, code: str, message: str) -> int:
    emit({"error": {"code": code, "message": message}})
    return 1


def _line_writer() -> Emit:
    stream = sys.stdout

    def emit(value: dict[str, Any]) -> None:
        stream.write(msgspec.json.encode(value).decode() + "\n")
        stream.flush()

    return emit


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # through every ``finally``, so that nothing half-made stays


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    sys.exit(main(sys.argv[1:]))
