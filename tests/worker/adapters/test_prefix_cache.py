"""The cache knows the adapter: nothing that was computed with one is found by another, by another scale of it, or by none."""

import pytest

from mlxd.types import ResolvedLimits
from mlxd.worker.engine.adapters.store import AdapterOrders
from mlxd.worker.runtime.paged.build import paged_runner, proved_model
from tests.support.adapter_files import write_mlx_lm
from tests.support.memory_tier import MemoryTier
from tests.worker.adapters.adapted_rig import PLENTY, AdaptedRig, Asking, at_once, fitted, linear_shapes, merged, tiny
from tests.worker.runner_rig import RunnerRig, plain, words
from tests.worker.test_blocks_on_disk import SETTINGS

LONG = 400  # tokens of a context of 512
ORDER = ("base", "a", "b", "scaled", "base", "a", "scaled", "b")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    directory = tmp_path_factory.mktemp("adapters")
    shapes = linear_shapes(tiny("llama").model, "q_proj", "v_proj", "up_proj")
    sources = {
        "a": write_mlx_lm(directory / "a", shapes, seed=1),
        "b": write_mlx_lm(directory / "b", shapes, seed=2),
        "scaled": write_mlx_lm(directory / "scaled", shapes, seed=1, scale=2.5),
    }
    prompt = words(11, LONG)
    rig = AdaptedRig(tiny("llama"), block_size=16, step_tokens=64)
    adapters = {name: rig.fit(source) for name, source in sources.items()} | {"base": None}
    expected = {name: plain(merged(tiny("llama"), one) if one else tiny("llama"), prompt) for name, one in adapters.items()}
    return sources, prompt, expected


def rig_of(case, **options):
    sources, _, _ = case
    rig = AdaptedRig(tiny("llama"), block_size=16, step_tokens=64, **options)
    return rig, {name: rig.fit(source) for name, source in sources.items()} | {"base": None}


def test_in_turn(case):
    rig, adapters = rig_of(case)
    _, prompt, expected = case
    cached = []
    for at, name in enumerate(ORDER):
        rig.add(f"{at}", prompt, adapter=adapters[name])
        rig.run()
        assert rig.tokens[f"{at}"] == expected[name]
        cached.append(rig.started[f"{at}"].cached_tokens)
    assert cached == [0] * 4 + [LONG // 16 * 16 - 16] * 4
    assert len({tuple(tokens) for tokens in expected.values()}) == 4


def test_at_once(case):
    rig, adapters = rig_of(case)
    _, prompt, expected = case
    for at, name in enumerate(ORDER):
        rig.add(f"{at}", prompt, adapter=adapters[name])
    rig.run()
    assert {f"{at}": rig.tokens[f"{at}"] for at in range(len(ORDER))} == {f"{at}": expected[name] for at, name in enumerate(ORDER)}
    found = [rig.started[f"{at}"].cached_tokens for at in range(len(ORDER))]
    assert sorted(found) == [0] * 4 + [LONG // 16 * 16 - 16] * 4, "each is computed once, for those of its own"


class Tier(MemoryTier):
    def told(self, _parts):
        return self


class DiskRig(Asking, RunnerRig):
    """A process of its own, as far as a test can tell: its memory is empty."""

    def __init__(self, sources, tier):
        loaded = tiny("llama")
        limits = ResolvedLimits(cache_bytes=2**22, disk=SETTINGS)
        super().__init__(paged_runner(loaded, proved_model(loaded, 16), limits, open_tier=tier.told))
        store = self.runner.adapters
        store.read = at_once
        self.adapters = {name: fitted(source, store) for name, source in sources.items()} | {"base": None}
        store.follow(AdapterOrders(PLENTY, known=frozenset(one.identity for one in self.adapters.values() if one)))

    def say(self, name, prompt):
        self.add(name, prompt, adapter=self.adapters[name])
        self.run()
        while self.runner.rest == 0.0:
            self.step()
        return self.tokens[name], self.started[name].disk_tokens


def test_on_disk(case):
    sources, prompt, expected = case
    tier = Tier()
    before = DiskRig(sources, tier)
    for name in expected:
        assert before.say(name, prompt) == (expected[name], 0), name
    assert len(tier.blocks) == 4 * (LONG // 16)
    after = DiskRig(sources, tier)
    for name in expected:
        assert after.say(name, prompt) == (expected[name], LONG // 16 * 16 - 16), name
