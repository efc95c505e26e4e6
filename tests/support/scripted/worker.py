"""``python -m tests.support.scripted.worker FD``: the real worker's program, around a scripted model. It imports no MLX."""

import sys

COMMAND = (sys.executable, "-m", "tests.support.scripted.worker")

if __name__ == "__main__":
    from mlxd.worker.__main__ import main
    from tests.support.scripted import model

    sys.modules["mlxd.worker.runtime.start"] = model
    main()
