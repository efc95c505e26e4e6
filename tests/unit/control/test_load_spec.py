import pytest

from mlxd.config.schema import LogTable, ModelTable
from mlxd.control.load_spec import load_spec
from mlxd.wire.framing import worker_codec


def spec(log_level="info", **table):
    return load_spec("tiny", ModelTable.model_validate({"source": "org/tiny"} | table), LogTable.model_validate({"level": log_level}))


def test_every_setting_reaches_the_worker():
    load = spec(
        log_level="debug",
        dtype="float16",
        context_length=99,
        batching={"max_queue": 3, "stream_interval": 4},
        cache={"kind": "entries", "memory": "2MiB", "max_entries": 5},
        worker={"heartbeat_interval": "250ms"},
    )
    assert (load.model, load.source, load.dtype, load.context_length, load.mode) == ("tiny", "org/tiny", "float16", 99, "simple")
    assert (load.max_queue, load.stream_interval) == (3, 4)
    assert (load.cache_kind, load.cache_bytes, load.cache_fraction, load.cache_max_entries) == ("entries", 2 * 2**20, None, 5)
    assert (load.heartbeat_interval, load.log_level) == (0.25, "debug")


@pytest.mark.parametrize(("kind", "expected"), [("auto", "entries"), ("entries", "entries"), ("none", "none")])
def test_cache_kinds(kind, expected):
    assert spec(cache={"kind": kind}).cache_kind == expected


@pytest.mark.parametrize(("memory", "size", "fraction"), [("auto", None, None), ("10%", None, 0.1), ("1GiB", 2**30, None)])
def test_cache_memory(memory, size, fraction):
    load = spec(cache={"memory": memory})
    assert (load.cache_bytes, load.cache_fraction) == (size, fraction)


def test_it_fits_the_wire():
    load = spec()
    codec = worker_codec()
    assert codec._decoder.decode(codec.encode(load)[4:]) == load
