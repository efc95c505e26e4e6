"""The table of what goes first, together and apart names files that there are."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import distribution
from tests.support.distribution import APART, FIRST, TOGETHER, WAITING, Collection, Distribution, rank

ROOT = Path(__file__).parents[2]


def test_its_files_are_there():
    files = {name for name in (*FIRST, *APART, *WAITING) if name not in TOGETHER} | {file for files in TOGETHER.values() for file in files}
    assert [file for file in files if not (ROOT / file).is_file()] == []
    assert len({*FIRST, *WAITING}) == len(FIRST) + len(WAITING)
    assert not {file for files in TOGETHER.values() for file in files} & {*WAITING}


class Node:
    """A process of tests, and what it was given."""

    shutting_down = False

    def __init__(self, name="gw0"):
        self.given = []
        self.gateway = SimpleNamespace(id=name)

    def send_runtest_some(self, places):
        self.given.append(places)

    def shutdown(self):
        self.shutting_down = True


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(distribution, "APART", {"slow.py"})
    monkeypatch.setattr(distribution, "_GROUPS", {"model_a.py": "model", "model_b.py": "model"})
    monkeypatch.setattr(distribution, "_RANKS", {"slow.py": 0, "model": 1})


def scheduled(collections):
    """``collections``: the names that each node has collected."""
    config = SimpleNamespace(option=SimpleNamespace(loadscopereorder=True), getvalue=lambda _: ["popen"] * len(collections))
    work = Distribution(config, SimpleNamespace(loadscopesched=lambda *_: None))
    for node, names in collections.items():
        work.add_node(node)
        work.add_node_collection(node, names)
    work.schedule()
    return work


def given_to(node, names):
    return [[names[place] for place in unit] for unit in node.given]


@pytest.mark.usefixtures("table")
def test_files_and_groups_stay_whole_and_in_order():
    names = sorted(["x.py::1", "x.py::2[a::b]", "model_a.py::1", "y.py::1", "model_b.py::1", "slow.py::1", "slow.py::2"], key=rank)
    nodes = [Node(), Node()]
    work = scheduled(dict.fromkeys(nodes, names))
    given = [given_to(node, names) for node in nodes]
    assert given == [
        [["slow.py::1"], ["model_a.py::1", "model_b.py::1"]],
        [["slow.py::2"], ["x.py::1", "x.py::2[a::b]"]],
    ]
    for place in (*nodes[0].given[0], *nodes[0].given[1]):
        work.mark_test_complete(nodes[0], place)
    assert given_to(nodes[0], names)[2] == ["y.py::1"]


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(distribution, "CORES", 2)
    monkeypatch.setattr(distribution, "WAITING", ("waits.py", "waits too.py"))
    monkeypatch.setattr(distribution, "SOON", ("soon/",))


@pytest.mark.usefixtures("two_cores")
def test_a_process_beyond_the_cores_takes_what_waits_then_what_it_has_collected():
    names = ["soon/1.py::1", "waits.py::1", "a.py::1", "soon/2.py::1", "waits too.py::1", "b.py::1", "c.py::1", "d.py::1"]
    its = [name for name in names if name[:4] in {"wait", "soon"}]
    node, waits = Node("gw1"), Node("gw2")
    work = scheduled({waits: its, Node("gw0"): names, node: names})
    assert given_to(waits, its) == [["waits.py::1"], ["waits too.py::1"]]
    assert given_to(node, names) == [["b.py::1"], ["d.py::1"]], "what others cannot take, first"
    work.mark_test_complete(waits, its.index("waits.py::1"))
    assert given_to(waits, its)[2:] == [["soon/1.py::1"]]
    work.mark_test_complete(waits, its.index("waits too.py::1"))
    assert given_to(waits, its)[3:] == [["soon/2.py::1"]]
    waits = Node("gw2")
    scheduled({waits: [], Node("gw0"): ["a.py::1", "b.py::1"], Node("gw1"): ["a.py::1", "b.py::1"]})
    assert waits.shutting_down
    assert not waits.given


@pytest.mark.usefixtures("two_cores")
def test_which_process_only_waits():
    assert [distribution.only_waits(f"gw{number}", 3) for number in range(5)] == [False, False, True, False, False]
    assert not distribution.only_waits("gw1", 2)


def test_a_collection_finds_its_tests():
    assert Collection(["a", "b"]).index("b") == 1
