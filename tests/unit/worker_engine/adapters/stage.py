"""A store of adapters without a model: they are read when a test says so, and slots say when anything is wrong with them."""

from pathlib import Path

from mlxd.adapter_terms import AdapterFormat, AdapterState
from mlxd.types import SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.adapters.stack_sizes import stacked_bytes
from mlxd.worker.engine.adapters.stacks import AdapterStacks
from mlxd.worker.engine.adapters.store import AdapterOrders, AdapterStore
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.facts.adapters.adapter_facts import AdapterFacts, AdapterLayer
from mlxd.worker.facts.adapters.fit import FittedAdapter, ModelPlaces, PlacedLayer
from mlxd.worker.facts.adapters.tensor_values import ExaminedAdapter
from mlxd.worker.facts.safetensors_file import StoredTensor

PATHS = ("one", "two")
ONE = 2 * 2 * 4 * (8 + 8) * 4  # bytes of an adapter alone: layers, places, rank, numbers, their size
MORE = ONE // 2  # of each that is beside it


def adapter(name, rank=4):
    layers = []
    for path in PATHS:
        a, b = StoredTensor(f"{path}.a", "F32", (8, rank), 0, 0), StoredTensor(f"{path}.b", "F32", (rank, 8), 0, 0)
        layers.append(AdapterLayer(path, 1.0, a, b, None, transposed=False))
    facts = AdapterFacts(AdapterFormat.MLX_LM, Path(name), tuple(layers))
    return FittedAdapter(ExaminedAdapter(facts, facts.layers, name), tuple(PlacedLayer(one.path, one) for one in layers))


class Slots(AdapterStacks):
    """What is in the slots, and when anything is wrong with them."""

    def __init__(self):
        self.held = {}
        self.trouble = self.dropping = None
        self.before_writing = lambda layer: None

    places = ModelPlaces(())
    item_bytes = 4

    @property
    def nbytes(self):
        return stacked_bytes(list(self.held.values()), self.item_bytes)

    def write(self, slot, layers, values):
        assert slot not in self.held, "the slot is taken"
        for at, _ in enumerate(values):
            self.before_writing(at)
            if self.trouble is not None:
                raise self.trouble
            yield
        self.held[slot] = layers

    def drop(self, slot):
        for _ in PATHS:
            if self.dropping is not None:
                raise self.dropping
            yield
        self.held.pop(slot, None)


class Stage:
    """A store, and what happens to its requests. What is read arrives at once, unless it is ``held_back``."""

    def __init__(self, limit=ONE + MORE, pinned=()):
        self.slots = Slots()
        self.store = AdapterStore(self.slots)
        self.store.read = self._read
        self.held_back = False
        self.reading = []
        self.running = set()
        self.failed = {}
        self.order(limit, pinned)

    def order(self, limit, pinned=(), known="abcdefgh"):
        self.limit = limit
        names = {name: f"adapter {name}" for name in known}
        self.store.follow(AdapterOrders(limit, frozenset(pinned), frozenset(known), names))

    def _read(self, wanted, arrive):
        if self.held_back:
            self.reading.append(arrive)
        else:
            arrive([object()] * len(wanted.layers))

    def ask(self, name, wanted):
        prompt = EncodedPrompt([1], 1, CacheRoot(model="tiny"))
        self.store.add(EngineRequest(name, prompt, SamplingParams(), adapter=wanted))

    def advance(self):
        """Until nothing changes any more; whoever may begin runs then."""
        for _ in range(9):
            for name, error in self.store.advance(self.running, 1.0).items():
                self.failed[name] = error
                self.store.forget(name)
        assert self.slots.nbytes <= self.limit or self.running

    def starts(self, *names):
        self.advance()
        found = [name for name in names if self.store.has(name) and name not in self.failed]
        self.running.update(found)
        return found

    def ends(self, *names):
        for name in names:
            self.running.discard(name)
            self.store.forget(name)

    @property
    def loaded(self):
        self.advance()
        return {name for name, one in self.store.figures().items() if one.state is AdapterState.LOADED}


def full():
    """A stage that has room for two adapters and has them loaded, "a" and "b", each with a request that runs."""
    stage = Stage()
    for name in "ab":
        stage.ask(name, adapter(name))
    stage.starts("a", "b")
    return stage
