import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.config.units import parse_size
from mlxd.errors import ConfigError
from mlxd.worker.kv.sizing import CacheSizing

MIB = 2**20


@given(
    limit=st.integers(0, 2**36),
    block_size=st.sampled_from([1, 4, 16, 64]),
    token_bytes=st.integers(0, 2**20),
    state_bytes=st.sampled_from([0, 4096, 2**26]),
)
def test_what_is_planned_fits_and_little_is_wasted(limit, block_size, token_bytes, state_bytes):
    sizing = CacheSizing(block_size, token_bytes, state_bytes)
    if limit < 8 * (block_size * token_bytes + state_bytes):
        return  # perhaps too small: see below
    sizes = sizing.sizes(limit)
    kv = sizes.capacity * sum(sizing.block_bytes)
    assert kv + sizes.snapshots * state_bytes <= limit
    assert (sizes.snapshots > 0) == (state_bytes > 0)
    if token_bytes:
        assert kv >= limit * (0.75 if state_bytes else 1) - 2 * sum(sizing.block_bytes)


def test_a_cache_has_four_arenas_of_at_least_1024_tokens():
    sizes = CacheSizing(16, 1024, 0).sizes(160 * MIB)
    assert (sizes.arena_blocks, sizes.capacity) == (2560, 10240)
    sizes = CacheSizing(16, 1024, 0).sizes(3 * MIB)
    assert (sizes.arena_blocks, sizes.capacity) == (64, 192)


def test_sixteen_mebibytes_may_lie_idle():
    assert CacheSizing(16, 1024, 0).sizes(160 * MIB).spare == 1024


def test_without_keys_and_values_all_of_it_is_for_snapshots():
    sizes = CacheSizing(16, 0, MIB).sizes(64 * MIB)
    assert sizes.snapshots == 64
    assert sizes.capacity * 16 >= 2**20


def test_another_limit_changes_how_many_blocks_there_are_not_the_size_of_arenas():
    sizing = CacheSizing(16, 1024, 0)
    sizes = sizing.sizes(160 * MIB)
    resized = sizing.resized(100 * MIB, sizes.arena_blocks)
    assert (resized.arena_blocks, resized.capacity) == (sizes.arena_blocks, 6400)
    assert sizing.resized(1, sizes.arena_blocks).capacity == 2


@pytest.mark.parametrize("state_bytes", [0, MIB])
def test_the_error_says_how_much_it_takes(state_bytes):
    with pytest.raises(ConfigError, match="at least") as caught:
        CacheSizing(16, 1024, state_bytes).sizes(1000)
    least = parse_size(caught.value.problems[0].split("at least ")[1].split(";")[0])
    CacheSizing(16, 1024, state_bytes).sizes(least)
