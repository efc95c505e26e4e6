"""Steps that a model computes twice from the same keys and values: as they are, and compiled."""

import mlx.core as mx

from mlxd.types import AttentionWay
from mlxd.worker.engine.plan import StepPlan
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.proof import difference
from tests.support.tiny_model import VOCAB

GATHER = Regions(usual=AttentionWay.GATHER, most_copied=2**30)
BLOCK = 4


class Steps:
    """A paged model whose rows gather, over ``arenas`` arenas that are full of random keys and values where ``filled``."""

    def __init__(self, loaded, *, arenas=3, arena_blocks=60):
        self.model = PagedModel(loaded.model, Geometry(BLOCK, arena_blocks), fused=False)
        self.model.ways.regions = GATHER
        self.arenas = arenas

    def fill(self, plan):
        """Computes ``plan`` once, so that stores are of the right shape, and puts random numbers into all slots of all arenas."""
        self.forward(plan.chunks)
        everywhere = range(self.arenas)
        for number, layer in enumerate(self.model.layers):
            if layer.store.count:
                tensors = layer.store.lend(everywhere)
                noise = [mx.random.normal(one.shape, key=mx.random.key(97 * number + at)) for at, one in enumerate(tensors)]
                layer.store.give_back(everywhere, iter(noise))

    def compile(self):
        self.compiled = self.model.compile()
        return self.compiled

    def forward(self, chunks, *, compiled=False):
        """The logits of the sampled rows, evaluated."""
        if not compiled:
            self.model.compiled = None
        elif self.model.compiled is None:
            self.model.compiled = self.compiled
        logits = self.model.forward(StepPlan(chunks=tuple(chunks)), tokens(chunks))
        mx.eval(logits.rows, *self.model.tensors())
        return logits

    def difference(self, chunks):
        """Between both, in standard deviations."""
        plain, compiled = self.forward(chunks), self.forward(chunks, compiled=True)
        assert plain.sampled == compiled.sampled
        return difference(plain.rows, compiled.rows)


def tokens(chunks):
    """Other ones at other positions of other sequences."""
    found = [(37 * int(chunk.sequence) + 11 * at) % (VOCAB - 3) for chunk in chunks for at in range(chunk.start, chunk.start + chunk.count)]
    return mx.array(found)
