"""``python -m mlxd.worker.examine_adapters DIRECTORY…``: what adapters' files say, for ``mlxd validate``, in a process of its own.

Standard output carries one JSON object for each directory, in their order: ``{"format", "rank", "scale", "layers"}``, or ``{"error"}``
where what is there is no adapter that any model could use. Whether that of its model can is found out when it is loaded.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from mlxd.errors import AdapterSourceError
from mlxd.worker.facts.adapters.directory import read_adapter
from mlxd.worker.facts.adapters.tensor_values import ExaminedAdapter


def main(directories: list[str]) -> int:
    """Examines each of ``directories``, and returns the exit code."""
    for directory in directories:
        sys.stdout.write(msgspec.json.encode(_examined(Path(directory))).decode() + "\n")
    return 0


def _examined(directory: Path) -> dict[str, Any]:
    try:
        facts = read_adapter(directory)
        layers = ExaminedAdapter.of(facts).layers
    except AdapterSourceError as error:
        return {"error": error.message}
    except Exception as error:  # noqa: BLE001 - whatever it is, the other adapters are looked at, too
        return {"error": f"{directory} cannot be looked at: {type(error).__name__}: {error}"}
    return {"format": facts.format, "rank": facts.rank, "scale": facts.scale, "layers": len(layers)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
