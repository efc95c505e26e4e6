"""What adapters take together, reckoned of many at once, is what the stacks of their layers would be."""

import random

from mlxd.worker.engine.adapters.stack_sizes import StackSizes, stacked_bytes
from mlxd.worker.facts.adapters.adapter_facts import AdapterLayer
from mlxd.worker.facts.adapters.fit import PlacedLayer
from mlxd.worker.facts.safetensors_file import StoredTensor

PLACES = {"q": (8, 6, 0), "up": (5, 9, 0), "experts": (4, 7, 3)}  # inputs, outputs, experts


def tensor(*shape):
    return StoredTensor("", "F32", shape, 0, 0)


def placed(path, rank, *, dora):
    inputs, outputs, experts = PLACES[path]
    leading = (experts,) if experts else ()
    magnitude = tensor(outputs) if dora and not experts else None
    layer = AdapterLayer(path, 1.0, tensor(*leading, inputs, rank), tensor(*leading, rank, outputs), magnitude, transposed=False)
    return PlacedLayer(path, layer)


def stacks(adapters):
    """The numbers in the stacks, layer by layer."""
    for path, (inputs, outputs, experts) in PLACES.items():
        layers = [one.layer for adapter in adapters for one in adapter if one.path == path]
        rank = max((layer.rank for layer in layers), default=0)
        places = len(layers) * experts if experts else len(layers) + 1
        gains = outputs if any(layer.magnitude for layer in layers) else 0
        yield places * (inputs * rank + rank * outputs + gains) if layers else 0


def test_any_set_of_them():
    chance = random.Random(3)  # noqa: S311 - a test's
    made = [
        tuple(
            placed(path, chance.randint(1, 9), dora=chance.random() < 0.4) for path in chance.sample(sorted(PLACES), chance.randint(1, 3))
        )
        for _ in range(12)
    ]
    sizes = StackSizes(2)
    for _ in range(200):
        together = chance.sample(made, chance.randint(0, len(made)))
        assert sizes.together(together) == stacked_bytes(together, 2) == 2 * sum(stacks(together))
