"""A process that writes blocks to a directory until it is killed: ``python -m … PATH MODEL LIMIT FIRST``; a line for each extent."""

import sys
from pathlib import Path

from mlxd.disk_cache.directory import Terms
from tests.unit.disk_cache.blocks import block, shelf


def main(path, model, limit, first):
    cache = shelf(Path(path), model.encode(), model=model)
    print("open", flush=True)  # noqa: T201 - what the test waits for
    number = int(first)
    while True:
        cache.write([block(number + more, 150_000, seed=model) for more in range(3)], Terms(limit=int(limit), spare=0))
        number += 3
        print(number, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
