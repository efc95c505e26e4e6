"""What the inference API's handlers are given: values and callables the daemon wires, each under a typed key."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from aiohttp import web

from mlxd.client.worker_client import WorkerClient
from mlxd.config.schema import Config, ModelTable
from mlxd.control.live_requests import LiveRequests
from mlxd.control.model.status import ModelStatus
from mlxd.control.model_names import Asked
from mlxd.control.quotas.key_use import KeyUse, Spending
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.control.telemetry import Telemetry, Tracer
from mlxd.wire.messages import Ready


class ReadyModel(Protocol):
    """A model that can be asked now."""

    @property
    def name(self) -> str:
        """Returns the model's configured id."""

    @property
    def adapter(self) -> str:
        """Returns the name of the adapter it is to answer with; empty for the model as it is."""

    @property
    def config(self) -> ModelTable:
        """Returns the model's table in the running configuration."""

    @property
    def ready(self) -> Ready:
        """Returns what the model's worker said when it became ready."""

    @property
    def client(self) -> WorkerClient: ...


class Models(Protocol):
    """What is asked of ``control.registry.Registry``."""

    def resolve(self, name: str) -> Asked:
        """Returns what a name, an alias or a name that matches a pattern is for. Raises ``ModelNotFoundError``."""

    def statuses(self) -> Iterable[ModelStatus]:
        """Returns the status of all configured models, in the file's order."""

    def status(self, name: str) -> ModelStatus: ...

    def hold(self, asked: Asked) -> AbstractAsyncContextManager[ReadyModel]:
        """Waits until the model is ready, has it loaded where it is not, and keeps it so for as long as the block lasts. Raises
        ``UnavailableError`` of every kind.
        """


def name_of(model: ReadyModel) -> str:
    """Returns the name that an answer has for what gave it: the configured one, of the adapter where it has one."""
    return Asked(model.name, model.adapter).name


MODELS = web.AppKey("models", Models)
TELEMETRY = web.AppKey("telemetry", Telemetry)
TRACER = web.AppKey("tracer", Tracer)
REQUESTS = web.AppKey("requests", LiveRequests)
KEY_USES = web.AppKey("key_uses", KeyUses)
KEY_USE = web.RequestKey("mlxd.key_use", KeyUse)  # of whoever asks
SPENDING = web.RequestKey("mlxd.spending", Spending)  # of a request for answers
CONFIG: web.AppKey[Callable[[], Config]] = web.AppKey("config")  # the running snapshot, asked anew at each request
MODEL = web.RequestKey("mlxd.model", str)  # the configured id a request asks for, once it is known
