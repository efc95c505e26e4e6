"""What an operator asked for: begun at once, looked at later, and forgotten in the end."""

import asyncio

import pytest
from structlog.testing import capture_logs

from mlxd.control.operations import OperationKind, Operations, OperationState
from mlxd.errors import ModelFailedError, NotFoundError, ShuttingDownError
from tests.support.patience import PATIENCE

KEPT = 100


@pytest.fixture
async def operations():
    made = Operations()
    yield made
    made.stop()


def nothing():
    return asyncio.sleep(0)


async def waits(event):
    await event.wait()


async def fails(error):
    raise error


async def over(operation):
    await asyncio.wait_for(operation.wait(), PATIENCE)


async def test_from_begin_to_end(operations):
    may_end = asyncio.Event()
    operation = operations.begin(OperationKind.LOAD, "tiny", waits(may_end))
    assert (operation.kind, operation.model, operation.state) == (OperationKind.LOAD, "tiny", OperationState.RUNNING)
    assert (operation.error, operation.finished) == (None, None)
    may_end.set()
    await over(operation)
    assert (operation.state, operation.error) == (OperationState.SUCCEEDED, None)
    assert operation.finished >= operation.started
    assert operations.get(operation.id) is operation


async def test_a_failure_is_kept_with_its_reason(operations):
    error = ModelFailedError("no config.json")
    operation = operations.begin(OperationKind.LOAD, "tiny", fails(error))
    await over(operation)
    assert (operation.state, operation.error) == (OperationState.FAILED, error)
    assert operation.finished is not None


async def test_a_defect_is_a_failure_that_tells_no_secrets(operations):
    with capture_logs() as logs:
        operation = operations.begin(OperationKind.RESTART, "tiny", fails(KeyError("secret")))
        await over(operation)
    assert operation.state is OperationState.FAILED
    assert "secret" not in operation.error.message
    assert [(entry["event"], entry["operation"], entry["model"]) for entry in logs] == [("operation_crashed", "restart", "tiny")]


async def test_they_are_listed_with_the_newest_first(operations):
    begun = [operations.begin(OperationKind.UNLOAD, name, nothing()) for name in "abc"]
    assert [one.model for one in operations.all()] == ["c", "b", "a"]
    assert len({one.id for one in begun}) == 3


async def test_an_unknown_one(operations):
    with pytest.raises(NotFoundError, match='no operation "op-77"'):
        operations.get("op-77")


async def test_a_hundred_are_remembered_when_they_are_over(operations):
    begun = [operations.begin(OperationKind.LOAD, f"m{number}", nothing()) for number in range(KEPT + 50)]
    assert len(operations.all()) == KEPT + 50  # all that run
    for operation in begun:
        await over(operation)
    assert [one.model for one in operations.all()] == [f"m{number}" for number in reversed(range(50, KEPT + 50))]
    with pytest.raises(NotFoundError, match="the last 100 are remembered"):
        operations.get(begun[0].id)


async def test_the_one_that_took_longest_is_remembered_when_it_ends(operations):
    """Whoever asks for it now and then must see how it ended, however many came and went meanwhile."""
    may_end = asyncio.Event()
    long = operations.begin(OperationKind.LOAD, "huge", waits(may_end))
    for _ in range(2 * KEPT):
        await over(operations.begin(OperationKind.UNLOAD, "tiny", nothing()))
    assert len(operations.all()) == KEPT + 1
    may_end.set()
    await over(long)
    await over(operations.begin(OperationKind.UNLOAD, "tiny", nothing()))
    assert operations.get(long.id).state is OperationState.SUCCEEDED
    assert len(operations.all()) == KEPT


@pytest.mark.parametrize("has_begun", [False, True])
async def test_what_is_stopped_has_failed(operations, has_begun):
    operation = operations.begin(OperationKind.LOAD, "tiny", waits(asyncio.Event()))
    if has_begun:
        await asyncio.sleep(0)
    operations.stop()
    await over(operation)
    assert operation.state is OperationState.FAILED
    assert isinstance(operation.error, ShuttingDownError)
    assert operation.finished is not None


async def test_who_waits_and_leaves_stops_nothing(operations):
    may_end = asyncio.Event()
    operation = operations.begin(OperationKind.LOAD, "tiny", waits(may_end))
    waiting = asyncio.create_task(operation.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    may_end.set()
    await over(operation)
    assert operation.state is OperationState.SUCCEEDED
