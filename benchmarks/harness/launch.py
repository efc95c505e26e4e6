"""``python launch.py MODULE ARGUMENTS``: load OpenBLAS, then run ``MODULE.main()``.

Other servers import MLX without it, and are ten times slower on Linux for no fault of theirs. Runs in any environment: of mlxd it
needs only ``mlxd.worker.runtime.blas``, which imports nothing.
"""

import importlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # the checkout, instead of this directory


def main() -> None:
    """Never returns where the server does not."""
    blas = importlib.import_module("mlxd.worker.runtime.blas")
    print("OpenBLAS" if blas.load_openblas() else "MLX's own BLAS", flush=True)
    sys.argv = sys.argv[1:]
    importlib.import_module(sys.argv[0]).main()


if __name__ == "__main__":
    main()
