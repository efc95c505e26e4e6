"""What a worker has to do before it takes over is a job that its model can do."""

import pytest

from mlxd.control.model.probe import probe_of
from mlxd.types import Task
from mlxd.wire.jobs import Embed, Generate, Score


@pytest.mark.parametrize(
    ("tasks", "kind"),
    [([Task.GENERATE], Generate), ([Task.EMBED], Embed), ([Task.RERANK], Score), ([Task.RERANK, Task.EMBED], Embed)],
)
def test_the_job_is_of_the_models_task(tasks, kind):
    assert isinstance(probe_of(tasks), kind)
