"""The probe of the paged runner computes a shared beginning and several runs, and finds what is wrong there alone."""

from dataclasses import replace

import mlx.core as mx
import pytest

from mlxd.worker.runtime.paged.attention import rows
from mlxd.worker.runtime.paged.build import proved_model
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.paged.probe import ProbeFailedError
from tests.worker.runner_rig import architecture

ARCHITECTURES = ["llama", "gpt_oss", "falcon_h1"]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("function", ["attend_runs", "_together"], ids=["several runs", "a shared beginning"])
def test_a_fault_of_one_way_to_attend_is_found(monkeypatch, name, function):
    right = getattr(rows, function)
    monkeypatch.setattr(rows, function, lambda *arguments: 0.9 * right(*arguments))
    with pytest.raises(ProbeFailedError, match="differ"):
        proved_model(architecture(name), 16, [Manner.IN_PLACE])


def test_it_costs_the_best_manner_alone_and_is_said(monkeypatch, caplog):
    right = rows._together
    monkeypatch.setattr(rows, "_together", lambda *arguments: 0.9 * right(*arguments))
    assert proved_model(architecture("llama"), 16).manner is Manner.COPIED
    assert "(in place): its logits over the paged cache differ from the plain model's" in caplog.text


@pytest.mark.parametrize("block_size", [1, 16, 64, 128])
def test_every_block_size_is_proved_in_these_ways(monkeypatch, block_size):
    used = set()
    for function in ("attend_runs", "_together"):
        right = getattr(rows, function)
        monkeypatch.setattr(rows, function, lambda *arguments, right=right: (used.add(right.__name__), right(*arguments))[1])
    proved_model(architecture("llama"), block_size)
    assert used == {"attend_runs", "_together"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_proved_in_its_own_type(monkeypatch, dtype):
    loaded, seen = architecture("llama"), set()
    loaded.model.set_dtype(getattr(mx, dtype))
    right = rows.attend_runs
    monkeypatch.setattr(rows, "attend_runs", lambda *arguments: (seen.add(arguments[1].tensors()[0].dtype), right(*arguments))[1])
    proved_model(replace(loaded, dtype=dtype), 16)
    assert seen == {getattr(mx, dtype)}
