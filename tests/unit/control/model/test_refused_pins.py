"""A worker that does not keep a pin is not what the file says; and what it is held to has the quotas of its model."""

from types import SimpleNamespace

from mlxd.cache_terms import CacheQuota, PinFigures, PinState
from mlxd.config.schema import ModelTable
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.control.model.worker_run import WorkerRun
from mlxd.types import CacheFigures, MemoryFigures
from mlxd.wire.messages import Heartbeat


def run(*pins):
    cache = CacheFigures(pins=pins)
    beat = Heartbeat(running=0, waiting=0, steps=0, busy_seconds=0.0, memory=MemoryFigures(), cache=cache)
    table = ModelTable(source="org/name")
    return WorkerRun("m", table, SimpleNamespace(heartbeat=beat), holder="m#1", make_room=None, telemetry=None, released=None, changed=None)


def test_each_pin_that_is_refused_is_named_by_its_field_with_the_reason():
    kept, waits = PinFigures(name="kept", state=PinState.KEPT), PinFigures(name="waits", state=PinState.COMPUTING)
    assert run(kept, waits).pins_refused is None
    refused = [PinFigures(name=name, state=PinState.REFUSED, reason=f"{name} is too large") for name in ("a", "b")]
    assert run(kept, *refused).pins_refused == "cache.pin.a.prompt_file: a is too large; cache.pin.b.prompt_file: b is too large"


def test_a_worker_is_told_the_quotas_of_its_model_once_they_change():
    told = []
    holder = SimpleNamespace(terms_changed=lambda: told.append(1))
    memory = ModelMemory(Ledger(1000), lambda: [holder])
    quota = CacheQuota(holder="agents", fraction=0.3)
    for _ in range(2):
        memory.set_quotas({"m": (quota,)})
    assert len(told) == 1, "nobody is told of what has not changed"
    assert memory.held_to("m#1").quotas == (quota,)
    assert memory.held_to("other#1").quotas == ()
    one = run()
    one.held_to = memory.held_to("m#1")
    assert one.limits_of(one.table).quotas == (quota,)
    assert one.has_limits_of(one.table), "quotas are nothing that a reload waits for"
