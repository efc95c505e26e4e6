"""The hashes of what lies in ``tests/data/vision``: it was generated once, and is meant to stay as it was."""

import hashlib
import json
from pathlib import Path

NAME = "manifest.json"


def hashes(data: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file below ``data`` but the manifest, by its path."""
    files = sorted(path for path in data.rglob("*") if path.is_file() and path.name != NAME)
    return {str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_manifest(data: Path) -> None:
    (data / NAME).write_text(json.dumps(hashes(data), indent=1) + "\n")
