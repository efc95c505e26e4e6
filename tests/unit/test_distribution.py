"""The table of what goes first, together and apart names files that there are."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import distribution
from tests.support.distribution import APART, FIRST, TOGETHER, Collection, Distribution, rank

ROOT = Path(__file__).parents[2]


def test_its_files_are_there():
    files = {name for name in (*FIRST, *APART) if name not in TOGETHER} | {file for files in TOGETHER.values() for file in files}
    assert [file for file in files if not (ROOT / file).is_file()] == []
    assert len(set(FIRST)) == len(FIRST)


class Node:
    """A process of tests, and what it was given."""

    shutting_down = False

    def __init__(self):
        self.given = []
        self.gateway = SimpleNamespace(id=str(id(self)))

    def send_runtest_some(self, places):
        self.given.append(places)

    def shutdown(self):
        self.shutting_down = True


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(distribution, "APART", {"slow.py"})
    monkeypatch.setattr(distribution, "_GROUPS", {"model_a.py": "model", "model_b.py": "model"})
    monkeypatch.setattr(distribution, "_RANKS", {"slow.py": 0, "model": 1})


@pytest.mark.usefixtures("table")
def test_files_and_groups_stay_whole_and_in_order():
    names = sorted(["x.py::1", "x.py::2[a::b]", "model_a.py::1", "y.py::1", "model_b.py::1", "slow.py::1", "slow.py::2"], key=rank)
    nodes = [Node(), Node()]
    config = SimpleNamespace(option=SimpleNamespace(loadscopereorder=True), getvalue=lambda _: ["popen", "popen"])
    work = Distribution(config, SimpleNamespace(loadscopesched=lambda *_: None))
    for node in nodes:
        work.add_node(node)
        work.add_node_collection(node, names)
    work.schedule()
    given = [[[names[place] for place in unit] for unit in node.given] for node in nodes]
    assert given == [
        [["slow.py::1"], ["model_a.py::1", "model_b.py::1"]],
        [["slow.py::2"], ["x.py::1", "x.py::2[a::b]"]],
    ]
    for place in (*nodes[0].given[0], *nodes[0].given[1]):
        work.mark_test_complete(nodes[0], place)
    assert [names[place] for place in nodes[0].given[2]] == ["y.py::1"]


def test_a_collection_finds_its_tests():
    assert Collection(["a", "b"]).index("b") == 1
