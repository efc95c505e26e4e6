"""What keys use, in the metrics: by name, and for as long as they are configured."""

import pytest

from mlxd.config.principal import ANONYMOUS, Principal
from mlxd.control.memory.ledger import Ledger
from mlxd.control.quotas.key_use import Right
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.observability.metrics import Metrics
from mlxd.types import Usage

AGENTS = Principal(name="agents")


@pytest.fixture
def holders():
    return [AGENTS]


@pytest.fixture
def uses(holders):
    return KeyUses(lambda: holders)


@pytest.fixture
def series(uses):
    """A scrape's: {(name, values of labels): value}."""
    metrics = Metrics(list, Ledger(1000), holdings=uses.current)

    def scrape():
        samples = [sample for family in metrics.registry.collect() for sample in family.samples if sample.name.startswith("mlxd_key_")]
        return {(sample.name.removeprefix("mlxd_key_"), *sample.labels.values()): sample.value for sample in samples}

    return scrape


def test_all_of_a_key_is_there_from_the_start(series):
    assert set(series().values()) == {0}
    assert {name for name, *_ in series()} == {
        "requests_running", "requests_total", "refusals_total", "prompt_tokens_total", "generation_tokens_total"
    }  # fmt: skip


def test_what_a_key_uses(uses, series):
    use = uses.of(AGENTS)
    with use.generation(AGENTS):
        use.spend(Usage(prompt_tokens=100, cached_tokens=60, completion_tokens=7))
        use.refuse(Right.TOKENS_PER_MINUTE)
        found = {name: value for name, value in series().items() if value}
    assert found == {
        ("requests_running", "agents"): 1,
        ("requests_total", "agents"): 1,
        ("refusals_total", "agents", "tokens_per_minute"): 1,
        ("prompt_tokens_total", "agents", "computed"): 40,
        ("prompt_tokens_total", "agents", "cached"): 60,
        ("generation_tokens_total", "agents"): 7,
    }


def test_the_series_of_a_removed_key_go(holders, uses, series):
    with uses.of(AGENTS).generation(AGENTS):
        holders[:] = [ANONYMOUS]
        assert {labels[0] for _, *labels in series()} == {"anonymous"}
