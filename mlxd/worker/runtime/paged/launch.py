"""When a step is launched on a device that computes while Python goes on: as soon as it is built, or once the one before it is done.

MLX writes into an arena in place only while nothing else holds its buffer, and operations that are under way hold what they read. So a
step that is launched at once copies, layer by layer, each arena that the one before it has not done reading, and is right all the same; how
many those are depends on how much MLX lets be under way. One that waits writes in place, and leaves the device idle for as long as it takes
to say go: Python has built it before it waits. Which costs more depends on the device and on the size of arenas, so it is measured at load.
(Seen on a CPU, ahead, with arenas of 64 MiB, of which two were copied at a time: 91 ms a step at once, 22 ms when done.)
"""

import logging
import time
from enum import StrEnum

import mlx.core as mx

from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.block_table import Run, WindowRuns
from mlxd.worker.runtime.paged.model import PagedModel

_PROMPT, _WARM, _TIMED = 2, 3, 12  # tokens, steps, steps
_TURNS = 2

_log = logging.getLogger(__name__)


class Launch(StrEnum):
    """When the next step is launched, which is built already."""

    AT_ONCE = "at once"
    WHEN_DONE = "when the one before is done"


def fastest_launch(model: PagedModel) -> Launch:
    """Returns what takes less time on this device, with arenas as large as they are; ``AT_ONCE`` where the device cannot tell. What the
    model holds is forgotten.
    """
    try:
        seconds = {launch: min(_seconds(model, launch) for _ in range(_TURNS)) for launch in Launch}
    except Exception as error:  # noqa: BLE001 - serving shows what is wrong, to those whose requests it concerns
        _log.warning("it could not be measured when steps are best launched: %s", error)
        return Launch.AT_ONCE
    finally:
        model.clear()
        mx.clear_cache()
    fastest = min(seconds, key=seconds.__getitem__)
    told = ", ".join(f"{1e3 * seconds[launch]:.2f} ms {launch}" for launch in Launch)
    _log.info("a step is launched %s: with one sequence it takes %s", fastest, told)
    return fastest


def wait_for(*results: mx.array) -> None:
    """Waits until the device is done with what was launched last, ``results`` among it, and holds none of it any more."""
    mx.eval(results)
    mx.synchronize()  # what is evaluated may still be held by operations whose end nobody has looked at


def _seconds(model: PagedModel, launch: Launch) -> float:
    """Returns the time of a step of one sequence, each token of which is sampled from the step before."""
    model.clear()
    model.forward(_plan(0, _PROMPT, model), mx.zeros((_PROMPT,), mx.int32))
    mx.eval(model.tensors())
    before, began = mx.zeros((1,), mx.int32), 0.0
    for step in range(_WARM + _TIMED):
        if step == _WARM:
            began = time.perf_counter()
        token = mx.argmax(model.forward(_plan(_PROMPT + step, 1, model), before).rows, axis=-1)
        if launch is Launch.WHEN_DONE:
            wait_for(before)
        mx.async_eval(token, *model.tensors())  # type: ignore[no-untyped-call]  # mlx ships no types
        before.tolist()
        before = token
    wait_for(before)
    return (time.perf_counter() - began) / _TIMED


def _plan(start: int, count: int, model: PagedModel) -> StepPlan:
    blocks = -(-(_PROMPT + _WARM + _TIMED) // model.geometry.block_size)
    fewest = min(geometry.arena_blocks for geometry in (model.geometry, *model.window_geometries))
    runs = (Run(0, min(blocks, fewest)),)
    windows = tuple(WindowRuns(0, runs) for _ in model.window_geometries)
    return StepPlan(chunks=(Chunk("measured", start, count, None, runs, samples=True, windows=windows),))
