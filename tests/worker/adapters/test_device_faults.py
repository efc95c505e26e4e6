"""What a device cannot do to the stacks of a layer leaves them as they were."""

import mlx.core as mx
import pytest

from mlxd.worker.runtime.adapters.layer_stack import Entry, ExpertStack, LinearStack
from mlxd.worker.runtime.adapters.present_slots import PresentSlots

PRESENT = PresentSlots()


def entry(rank, *experts, gain=False):
    return Entry(mx.random.normal((*experts, 8, rank)), mx.random.normal((*experts, rank, 6)), mx.random.normal((6,)) if gain else None)


@pytest.fixture(params=["linear", "dora", "experts"])
def case(request):
    if request.param == "experts":
        return ExpertStack(PRESENT, mx.float32, 3), [entry(2, 3), entry(5, 3), entry(9, 3)]
    gain = request.param == "dora"
    return LinearStack(PRESENT, mx.float32, is_head=False), [entry(2), entry(5, gain=gain), entry(9, gain=gain)]


def fail(*_):
    raise RuntimeError("out of memory")


def added(stack, slots):
    """What rows of these slots are given more than they have."""
    PRESENT.begin(slots)
    x, y = mx.ones((len(slots), 8)), mx.ones((len(slots), 6))
    if isinstance(stack, ExpertStack):
        found = stack.add(x[:, None, None], y[:, None, None], mx.array([[1]] * len(slots)), are_sorted=False)
    else:
        found = stack.add(x, y, None)
    PRESENT.end()
    return found.tolist()


def test_nothing_changes_that_failed(case, monkeypatch):
    stack, entries = case
    for slot, one in enumerate(entries[:2], start=1):
        stack.put(slot, one)
    before, size = added(stack, [1, 0, 2]), stack.nbytes
    for change in (lambda: stack.put(3, entries[2]), lambda: stack.take_out(1)):
        with monkeypatch.context() as patched:
            patched.setattr(mx, "eval", fail)
            with pytest.raises(RuntimeError):
                change()
        assert added(stack, [1, 0, 2]) == before
        assert stack.nbytes == size
    stack.take_out(3)
    stack.put(3, entries[2])
    assert stack.nbytes > size
    stack.take_out(3)
    assert stack.nbytes == size
    assert added(stack, [1, 0, 2]) == before
