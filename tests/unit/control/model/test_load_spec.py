import pytest

from mlxd.adapter_terms import AdapterSpec
from mlxd.config.catalogue import leaves
from mlxd.config.fields import Reload, reload_class
from mlxd.config.schema import ModelTable
from mlxd.control.model.load_spec import load_spec, worker_spec
from mlxd.disk_terms import DiskSettings
from mlxd.types import Limits, SpeculationKind
from mlxd.wire.framing import worker_codec


def spec(**table):
    return load_spec("tiny", ModelTable.model_validate({"source": "org/tiny"} | table))


def test_every_setting_reaches_the_worker():
    load = spec(
        dtype="float16",
        context_length=99,
        batching={
            "mode": "continuous",
            "max_queue": 3,
            "stream_interval": 4,
            "max_sequences": 6,
            "step_tokens": 70,
            "target_itl": "50ms",
            "priority_ageing": "3s",
            "attention": "gather",
        },
        cache={"kind": "paged", "memory": "2MiB", "media": "3MiB", "max_entries": 5, "block_size": 32, "dtype": "int8"},
        worker={"heartbeat_interval": "250ms"},
        speculation={"kind": "lookup", "draft": "org/small", "max_tokens": 7},
    )
    assert load.draft == "org/small"
    assert (load.model, load.source, load.dtype, load.context_length, load.mode) == ("tiny", "org/tiny", "float16", 99, "continuous")
    assert (load.cache_kind, load.block_size, load.kv_wish, load.attention) == ("paged", 32, "int8", "gather")
    assert load.limits == Limits(
        max_queue=3,
        stream_interval=4,
        max_sequences=6,
        step_tokens=70,
        target_itl=0.05,
        priority_ageing=3.0,
        cache_bytes=2 * 2**20,
        cache_fraction=None,
        media_bytes=3 * 2**20,
        media_fraction=0.0,
        cache_entries=5,
        speculation=SpeculationKind.LOOKUP,
        draft_tokens=7,
    )
    assert load.heartbeat_interval == 0.25


@pytest.mark.parametrize(
    ("mode", "draft", "used"),
    [("continuous", "org/small", "org/small"), ("simple", "org/small", None), ("continuous", "org/tiny", None)],
)
def test_a_draft_model_of_all_models_is_passed_over_where_it_is_of_no_use(mode, draft, used):
    assert spec(batching={"mode": mode}, speculation={"draft": draft}).draft == used


@pytest.mark.parametrize(("mode", "kind"), [("continuous", "paged"), ("continuous", "auto")])
def test_a_disk_is_named_by_its_limits(mode, kind):
    disk = {"path": "/var/cache/mlxd", "limit": "1GiB", "write_budget": "2GiB"}
    assert spec(batching={"mode": mode}, cache={"kind": kind, "disk": disk}).limits.disk == DiskSettings(
        path="/var/cache/mlxd", limit=2**30, write_budget=2**31
    )


@pytest.mark.parametrize(("mode", "kind", "path"), [("simple", "auto", "/a"), ("continuous", "entries", "/a"), ("continuous", "paged", "")])
def test_a_disk_of_all_models_is_passed_over_where_it_is_of_no_use(mode, kind, path):
    assert spec(batching={"mode": mode}, cache={"kind": kind, "disk": {"path": path}}).limits.disk is None


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({"batching": {"mode": "continuous"}}, "int8"),
        ({"batching": {"mode": "simple"}}, "auto"),
        ({"batching": {"mode": "continuous"}, "cache": {"kind": "entries"}}, "auto"),
    ],
    ids=["paged", "simple", "entries"],
)
def test_a_key_value_type_of_all_models_is_passed_over_without_a_paged_cache(changes, used):
    assert spec(**changes | {"cache": {"dtype": "int8"} | changes.get("cache", {})}).kv_wish == used


def test_adapters_are_limits_and_what_they_may_take_is_nothing_where_there_are_none():
    limits = spec(adapters={"sql": {"source": "org/sql", "load": "eager", "pin": True}, "law": {"source": "/law"}}).limits
    assert limits.adapters == (
        AdapterSpec(name="sql", source="org/sql", load="eager", pin=True),
        AdapterSpec(name="law", source="/law", load="lazy", pin=False),
    )
    assert (limits.adapter_bytes, spec(adapter_memory="1GiB").limits.adapter_bytes) == (256 * 2**20, 0)


def test_the_limits_default_to_those_of_the_schema():
    assert spec().limits == Limits()


@pytest.mark.parametrize(
    ("mode", "kind", "expected"),
    [
        ("simple", "auto", "entries"),
        ("simple", "none", "none"),
        ("continuous", "auto", "paged"),
        ("continuous", "paged", "paged"),
        ("continuous", "entries", "entries"),
        ("continuous", "none", "none"),
    ],
)
def test_cache_kinds(mode, kind, expected):
    assert spec(batching={"mode": mode}, cache={"kind": kind}).cache_kind == expected


@pytest.mark.parametrize(("memory", "size", "fraction"), [("auto", None, None), ("10%", None, 0.1), ("1GiB", 2**30, None)])
def test_cache_memory(memory, size, fraction):
    limits = spec(cache={"memory": memory}).limits
    assert (limits.cache_bytes, limits.cache_fraction) == (size, fraction)


LIVE = {
    "batching": {"max_queue": 3, "stream_interval": 4, "max_sequences": 6, "step_tokens": 70, "target_itl": "50ms"},
    "cache": {"memory": "2MiB", "max_entries": 5},
    "lifecycle": {"load": "lazy", "idle_unload": "1m", "pin": True},
    "worker": {"hang_timeout": "5s", "crash_limit": 3},
    "sampling": {"temperature": 0},
    "output": {"strict_tools": True},
    "speculation": {"kind": "auto", "max_tokens": 3},
    "aliases": ["other"],
    "adapters": {"sql": {"source": "org/sql", "aliases": ["coder"], "load": "eager", "pin": True}},
    "adapter_memory": "1GiB",
}


def test_live_settings_need_no_new_worker():
    assert worker_spec(spec(**LIVE)) == worker_spec(spec())


@pytest.mark.parametrize(
    "change",
    [
        {"source": "org/other"},
        {"task": "embed"},
        {"dtype": "float16"},
        {"context_length": 99},
        {"batching": {"mode": "continuous"}},
        {"batching": {"compile": "on"}},
        {"cache": {"kind": "none"}},
        {"cache": {"block_size": 32}},
        {"worker": {"heartbeat_interval": "250ms"}},
        {"output": {"tools": "qwen_xml"}},
        {"output": {"reasoning": "none"}},
        {"batching": {"mode": "continuous"}, "speculation": {"draft": "org/small"}},
        {"batching": {"mode": "continuous", "attention": "rows"}},
        {"batching": {"mode": "continuous"}, "cache": {"dtype": "int8"}},
    ],
)
def test_others_do(change):
    assert worker_spec(spec(**change)) != worker_spec(spec())


def test_the_schemas_classes_say_the_same():
    """Every field of class "model" changes the spec, and no other does: the two cannot drift apart."""
    wanting = {entry.key for entry in leaves(ModelTable) if reload_class(entry.info) is Reload.MODEL}
    assert wanting == {
        ("source",),
        ("task",),
        ("dtype",),
        ("context_length",),
        ("batching", "mode"),
        ("batching", "compile"),
        ("batching", "attention"),
        ("cache", "kind"),
        ("cache", "block_size"),
        ("cache", "dtype"),
        ("worker", "heartbeat_interval"),
        ("output", "tools"),
        ("output", "reasoning"),
        ("speculation", "draft"),
    }


def test_it_fits_the_wire():
    load = spec()
    codec = worker_codec()
    assert codec._decoder.decode(codec.encode(load)[4:]) == load
