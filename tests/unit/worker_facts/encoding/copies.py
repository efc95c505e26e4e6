"""Copies of models of ``tests/data/encoding``, with other values in their files."""

import json
import shutil
from pathlib import Path

from mlxd.types import Task
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.description import EncodingDescription
from mlxd.worker.facts.encoding.task import find_task

DATA = Path(__file__).parents[3] / "data" / "encoding"
GONE = object()


def copied(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / name, tmp_path / name))


def edit(directory: Path, file: str, **values: object) -> Path:
    """Gives keys of a JSON file other values; ``GONE`` takes them out."""
    path = directory / file
    content = json.loads(path.read_text()) if path.exists() else {}
    content = {key: value for key, value in (content | values).items() if value is not GONE}
    path.write_text(json.dumps(content))
    return directory


def described(directory: Path, task: Task | None = None) -> EncodingDescription:
    facts = DirectoryFacts.read(directory)
    return EncodingDescription.read(facts, task or find_task(facts).task)
