"""The recurrent states of sequences that run are part of the cache's limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.kv.sizing import CacheSizing

MIB = 2**20


@given(
    limit=st.integers(64 * MIB, 2**36),
    token_bytes=st.sampled_from([0, 1024, 2**16]),
    state_bytes=st.sampled_from([0, 4096, MIB, 8 * MIB]),
    sequences=st.integers(1, 256),
)
def test_keys_values_snapshots_and_running_states_fit_the_limit_together(limit, token_bytes, state_bytes, sequences):
    sizing = CacheSizing(16, token_bytes, state_bytes)
    sizes = sizing.sizes(limit, sequences)
    kv = sizes.capacity * sum(sizing.block_bytes)
    assert kv + (sizes.snapshots + sizes.sequences) * state_bytes <= limit
    assert 1 <= sizes.sequences <= sequences
    assert sizes.sequences == sizing.running(limit, sequences)
    if not state_bytes or sequences * state_bytes <= limit // 4:
        assert sizes.sequences == sequences


@pytest.mark.parametrize("limit", [0, 1, MIB, 3 * MIB])
def test_a_cache_that_shrinks_below_its_states_still_runs_one(limit):
    sizes = CacheSizing(16, 1024, MIB).resized(limit, 64, 8)
    assert (sizes.capacity, sizes.sequences) == (2, 1) or limit == 3 * MIB
    assert sizes.snapshots >= 0
