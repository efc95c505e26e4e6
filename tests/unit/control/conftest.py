import pytest

from mlxd.config.schema import ModelTable
from mlxd.control.memory.ledger import Ledger
from mlxd.control.memory.model_memory import ModelMemory
from mlxd.control.model.supervisor import ModelSupervisor
from tests.support.scripted_client import CountingTelemetry, Factory

PLENTY = 2**40


@pytest.fixture
def telemetry():
    return CountingTelemetry()


@pytest.fixture
async def factory():
    return Factory()


@pytest.fixture
async def make(factory, telemetry):
    """Supervisors that share one memory; ``make.limit`` is set before the first is made."""
    made = []

    class Make:
        limit = PLENTY
        available = PLENTY
        drain_timeout = 30.0
        memory = None

        def table(self, source="org/tiny", **settings):
            lifecycle = {"residence": "0s"} | settings.pop("lifecycle", {})
            return ModelTable.model_validate({"source": source, "lifecycle": lifecycle} | settings)

        def __call__(self, name="tiny", *, worker_factory=factory, **settings):
            self.memory = self.memory or ModelMemory(Ledger(self.limit), lambda: made, available=lambda: self.available)
            made.append(
                ModelSupervisor(
                    name,
                    self.table(**settings),
                    worker_factory=worker_factory,
                    telemetry=telemetry,
                    memory=self.memory,
                    drain_timeout=lambda: self.drain_timeout,
                )
            )
            return made[-1]

    yield Make()
    for supervisor in made:
        await supervisor.stop()
