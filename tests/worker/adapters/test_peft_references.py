"""Adapters that PEFT has written, in one batch: each sequence says what PEFT itself makes of it (``tests/adapters/generate``)."""

import json
from pathlib import Path

from mlxd.types import Stopping
from mlxd.worker.runtime.loading import load
from tests.worker.adapters.adapted_rig import AdaptedRig

DATA = Path(__file__).parents[2] / "data" / "adapters"
CHANGED = {"plain": 6, "root-of-rank": 21, "patterns": 9, "dora": 6, "one-layer": 1}


def test_each_says_what_peft_makes_of_it():
    references = json.loads((DATA / "references.json").read_text())
    prompt, said = references["prompt"], references["said"]
    assert len({tuple(tokens) for tokens in said.values()}) == len(CHANGED) + 1, "adapters that say the same decide nothing"
    rig = AdaptedRig(load(DATA / "model", dtype="float32", context_limit=None))
    adapters = {name: rig.fit(DATA / name) for name in CHANGED}
    assert {name: len(one.layers) for name, one in adapters.items()} == CHANGED
    for name, tokens in said.items():
        asks = {"stopping": Stopping(ignore_end=True)}
        rig.add(name, prompt, adapter=adapters.get(name), max_tokens=len(tokens), asks=asks, logit_bias={})
    rig.run()
    assert rig.tokens == said
