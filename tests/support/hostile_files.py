"""Says of files that are made to hurt what was said of each, and what all of it took: ``python -m tests.support.hostile_files DIRECTORY``.

A process of its own: nothing else has taken memory before.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlxd.errors import InvalidRequestError
from mlxd.worker.runtime.vision.films import open_film
from mlxd.worker.runtime.vision.pictures import read_picture

PIXELS = 4_000_000


def main() -> None:
    before = _peak()
    told = [*_told(Path(sys.argv[1]))]
    sys.stdout.write(json.dumps({"files": told, "grown": _peak() - before}))


def _told(directory: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.iterdir()):
        data = path.read_bytes()
        began = time.process_time()
        try:
            said = _watched(data) if path.suffix == ".film" else f"part: {read_picture(data, PIXELS, 'part')}"
        except InvalidRequestError as error:
            said = f"{error.param}: {error.message}"
        except BaseException as error:  # noqa: BLE001 - a row of the table
            said = f"RAISED {error!r}"
        yield {"file": path.name, "said": said, "seconds": time.process_time() - began}


def _watched(data: bytes) -> str:
    with open_film(data, PIXELS, "part") as film:
        return f"part: {[frame.shape for frame in film.frames(range(film.facts.frames))]}"


def _peak() -> int:
    """Returns bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
