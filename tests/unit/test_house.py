"""The rules of the house that no linter knows: files of one noun, short functions, docstrings that say something, names that exist."""

import re
from pathlib import Path
from statistics import median

import mlxd
from tests.support.source_files import source_file

ROOT = Path(mlxd.__file__).parents[1]
PARTS = ("mlxd", "tests", "benchmarks", "grafana", "docs")
LONGEST_FILE = 400  # lines
LONGEST_FUNCTION = 50  # lines, docstring and signature aside
MEDIAN_FUNCTION = 5


def sources(*parts):
    return [path for part in parts for path in sorted((ROOT / part).rglob("*.py"))]


def named(path):
    return str(path.relative_to(ROOT))


def telegrams(path):
    """Yields docstrings that point elsewhere, or are too short to say more than a name would."""
    for line, text in source_file(path).docstrings:
        if text.startswith("See ") or (len(text.split()) <= 2 and not text.startswith("Raises ")):
            yield f"{named(path)}:{line}: {text}"


def test_no_file_is_longer_than_one_noun():
    lengths = {named(path): path.read_text().count("\n") for path in sources(*PARTS)}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_functions_are_short():
    lengths = {f"{named(path)}:{name}": length for path in sources("mlxd") for name, length in source_file(path).functions}
    assert median(lengths.values()) <= MEDIAN_FUNCTION
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def test_a_docstring_says_something_or_is_absent():
    assert [text for path in sources("mlxd") for text in telegrams(path)] == []


# ---- what comments and pages name is there ----

FILE = re.compile(r"(?<![\w/.~-])(?:mlxd|tests|benchmarks|grafana|deploy|config)/[\w/-]+\.(?:py|toml|yml|conf)\b")
MODULE = re.compile(r"``((?:mlxd\.|tests\.)?[a-z_]+(?:\.[a-z_]+)+)((?:\.\w+)?)``")


def is_module(dotted):
    path = ROOT / dotted.replace(".", "/")
    inner = ROOT / "mlxd" / dotted.replace(".", "/")
    return any(one.is_dir() or one.with_suffix(".py").exists() for one in (path, inner))


def test_files_that_are_named_exist():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "Makefile", ROOT / "tests" / "README.md"]
    texts = {path: path.read_text() for path in [*sources("mlxd", "benchmarks", "grafana"), *pages]}
    found = {(named(path), name) for path, text in texts.items() for name in FILE.findall(text)}
    assert {one for one in found if not (ROOT / one[1]).exists()} == set()


def test_modules_that_docstrings_name_exist():
    """Names that begin with a room of ours: ``control.telemetry`` or ``control.telemetry.Tracer``."""
    rooms = {path.stem for path in (ROOT / "mlxd").iterdir()} | {"mlxd", "tests"}
    missing = set()
    for path in sources("mlxd"):
        for dotted, _ in MODULE.findall(path.read_text()):
            first = dotted.split(".")[0]
            if first in rooms and not dotted.endswith(".json") and not any(is_module(one) for one in (dotted, dotted.rpartition(".")[0])):
                missing.add((named(path), dotted))
    assert missing == set()
