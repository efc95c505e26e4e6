"""``mlxd.worker.pull`` with a built-in model and a converter of the test's own; run as a script.

The first argument is the model's description as JSON, the rest are the arguments of ``pull``.
"""

import runpy
import shutil
import sys
from pathlib import Path

import msgspec

from mlxd.worker.fetch import resolve
from mlxd.worker.fetch.builtin import BuiltinModel
from mlxd.worker.runtime import source
from tests.unit.worker_fetch.model_files import write_model


def convert(gguf: Path, directory: Path) -> None:
    write_model(directory)
    shutil.copy(gguf, directory / "original.gguf")


if __name__ == "__main__":
    model = msgspec.json.decode(sys.argv.pop(1), type=BuiltinModel)
    resolve.BUILTINS = {model.name: model}
    source._CONVERTER = resolve.Converter(1, convert)
    runpy.run_module("mlxd.worker.pull", run_name="__main__", alter_sys=True)
