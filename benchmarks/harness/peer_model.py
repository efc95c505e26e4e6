"""``python -m benchmarks.harness.peer_model SOURCE [DIRECTORY]``: what mlxd computes with, as a model directory for other servers.

On a CPU mlxd dequantizes to float32 (``dtype = "auto"``), so the same is written to ``DIRECTORY``; elsewhere mlxd uses a model as it
is stored, and so do the others. Prints where things are as one line of JSON. A process of its own: the benchmark never imports MLX.
"""

from mlxd.worker.runtime.blas import load_openblas

load_openblas()  # before anything imports MLX

import json  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from mlx_lm.utils import save_model  # noqa: E402

from mlxd.errors import MlxdError  # noqa: E402
from mlxd.worker.runtime.device import detect_device  # noqa: E402
from mlxd.worker.runtime.loading import load  # noqa: E402
from mlxd.worker.runtime.source import fetch_model  # noqa: E402

_QUANTIZATION = ("quantization", "quantization_config")


def main(source: str, directory: Path | None) -> None:
    """Fetch, and write a dequantized copy where one is needed and has a place."""
    stored = peer = fetch_model(source, lambda *_: None)
    if directory is not None and detect_device() == "cpu":
        write_float32(stored, directory)
        peer = directory
    print(json.dumps({"stored": str(stored), "peer": str(peer)}))


def write_float32(stored: Path, directory: Path) -> None:
    """The weights exactly as mlxd's worker has them in memory; every other file as it is."""
    loaded = load(stored, dtype="auto", context_limit=None)
    save_model(directory, loaded.model, donate_model=True)
    for file in stored.iterdir():
        if file.is_file() and file.suffix != ".safetensors" and file.name != "model.safetensors.index.json":
            shutil.copy(file, directory)
    config = {key: value for key, value in json.loads((stored / "config.json").read_text()).items() if key not in _QUANTIZATION}
    (directory / "config.json").write_text(json.dumps(config | {"torch_dtype": "float32"}, indent=2))


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    except MlxdError as error:
        sys.exit(f"{sys.argv[1]}: {error.message}")
