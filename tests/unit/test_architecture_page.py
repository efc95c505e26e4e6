"""docs/architecture.md names rooms and types that are there."""

import re
from pathlib import Path

import pytest

import mlxd
from tests.support.source_files import source_file

ROOT = Path(mlxd.__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "`mlxd/" in line]
SEAMS = [row for row in ROWS if len(row.split(" | ")) == 4]
QUOTED = re.compile(r"`([^`]+)`")


def paths(text):
    return [ROOT / name for name in QUOTED.findall(text) if name.startswith(("mlxd/", "tests/"))]


def test_every_path_is_there():
    assert [path for path in paths(PAGE) if not path.exists()] == []


def types(text):
    return {name for name in QUOTED.findall(text) if re.fullmatch(r"[A-Z]\w+", name)}


def test_every_type_is_somewhere():
    known = {name for path in ROOT.joinpath("mlxd").rglob("*.py") for name in source_file(path).defined}
    assert types("\n".join(ROWS)) <= known


@pytest.mark.parametrize("row", SEAMS, ids=lambda row: row.split(" | ")[0].strip("| "))
def test_the_type_of_a_seam_is_in_its_room(row):
    _, names, rooms, _ = row.split(" | ")
    assert types(names)
    assert types(names) <= {name for path in paths(rooms) for name in source_file(path).defined}


def test_the_readme_leads_here():
    assert "docs/architecture.md" in (ROOT / "README.md").read_text(encoding="utf-8")
