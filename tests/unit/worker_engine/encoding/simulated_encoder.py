"""A device that takes its time by a clock of its own, and an engine over it."""

import struct
from collections import defaultdict

from mlxd.types import Limits, MemoryFigures, ResolvedLimits
from mlxd.wire.events import Failed, Started
from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.engine.encoding.encoder import Encoder
from mlxd.worker.engine.encoding.packed_inputs import PackedInputs
from mlxd.worker.engine.encoding.request import EncodingRequest
from mlxd.worker.engine.encoding.runner import EncodingRunner
from mlxd.worker.engine.encoding.shape import BatchShape
from mlxd.worker.engine.encoding.workspace import Workspace
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.events import Encoded, Ended
from mlxd.worker.engine.request_queue import RequestQueue

WORKSPACE = Workspace(2**28, 4096, 16)
BROKEN, NAN = 666, 13  # tokens: the device raises for a batch that has one, and computes no number


def vector(tokens):
    return struct.pack("<f", sum(tokens))


class SimulatedEncoder(Encoder):
    """``call`` seconds for a batch, ``token`` for each token of it, padding included, and ``pair`` for each pair."""

    def __init__(self, call=0.005, token=0.0003, pair=1e-8):
        self.call, self.token, self.pair = call, token, pair
        self.now = 0.0
        self.batches = []  # of texts

    def encode(self, texts):
        self.batches.append(list(texts))
        shape = shape_of(texts)
        self.now += self.call + self.token * shape.padded + self.pair * shape.pairs
        if any(BROKEN in text.input.tokens for text in texts):
            raise RuntimeError("the device is broken")
        return [None if NAN in text.input.tokens else vector(text.input.tokens) for text in texts]

    def memory(self):
        return MemoryFigures(weights=1)


def shape_of(texts):
    return BatchShape(len(texts), max(map(len, texts)))


class Rig:
    def __init__(self, encoder=None, workspace=WORKSPACE, **limits):
        self.encoder = encoder or SimulatedEncoder()
        self.limits = ResolvedLimits.of(Limits(**limits), 0)
        self.runner = EncodingRunner(self.encoder, workspace, self.limits, param="input", clock=lambda: self.encoder.now)
        self.queue = RequestQueue(10_000, capacity=self.runner.capacity)
        self.engine = Engine(self.runner, self.queue, self._tell)
        self.events = defaultdict(list)
        self.told_at = defaultdict(list)  # of the device's clock
        self.stats = []

    def _tell(self, output):
        self.stats += [output.stats] if output.stats is not None else []
        for event in output.events:
            self.events[event.id].append(event)
            self.told_at[event.id].append(self.encoder.now)

    def add(self, name, texts, **fields):
        """``texts``: the tokens of each."""
        self.queue.announce(name)
        fields.setdefault("arrived", self.encoder.now)
        self.queue.put(EncodingRequest(name, PackedInputs.of(EncodedInput(list(text)) for text in texts), **fields))

    def run(self, most=100_000):
        for _ in range(most):
            self.engine.step()
            if self.runner.is_idle and not self.queue.waiting:
                return
        raise AssertionError("it never ends")

    def vectors(self, name):
        """By place."""
        found = {}
        for event in self.events[name]:
            if isinstance(event, Encoded):
                values = struct.unpack(f"<{len(event.places)}f", event.values)
                for place, value in zip(event.places, values, strict=True):
                    assert place not in found
                    found[place] = value
        return found

    def answer(self, name):
        kinds = [type(event) for event in self.events[name]]
        assert kinds[0] in {Started, Failed}
        (last,) = [event for event in self.events[name] if isinstance(event, Ended | Failed)]
        assert last is self.events[name][-1]
        return last
