"""What a scheduler asks about the adapters of its sequences."""

from collections.abc import Collection, Mapping

from mlxd.errors import MlxdError, UnsupportedParameterError
from mlxd.worker.engine.request import EngineRequest

NO_FAILURES: Mapping[str, MlxdError] = {}


class Adapters:
    """What there is to decide about a model without adapters: no request has one, and nobody waits."""

    @property
    def can_load(self) -> bool:
        """Tells whether requests may have adapters."""
        return False

    def add(self, request: EngineRequest) -> None:
        """Takes in a new request. Raises a ``MlxdError`` where it can never have the adapter that it asks for."""
        if request.adapter is not None:
            raise UnsupportedParameterError("this model has no adapters", param="model")

    def forget(self, request_id: str) -> None:
        """Takes in that a request is over."""

    def has(self, request_id: str) -> bool:  # noqa: ARG002
        """Tells whether a request may begin as far as its adapter is concerned."""
        return True

    def slot(self, request_id: str) -> int:  # noqa: ARG002
        """Returns the slot of the adapter that a running request has; 0: it has none."""
        return 0

    def advance(self, running: Collection[str], seconds: float) -> Mapping[str, MlxdError]:  # noqa: ARG002
        """Goes on with loading for about so many ``seconds``. No adapter of those that are ``running`` goes. Returns the requests that
        have failed because theirs did.
        """
        return NO_FAILURES

    @property
    def is_busy(self) -> bool:
        """Tells whether there is something to go on with."""
        return False

    @property
    def is_reading(self) -> bool:
        """Tells whether it waits for what is being read."""
        return False

    @property
    def nbytes(self) -> int:
        """Returns the bytes that adapters take."""
        return 0
