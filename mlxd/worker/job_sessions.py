"""The requests of a worker, as the stage that serves them sees them, whatever the model's task."""

from typing import Protocol

from mlxd.types import Limits
from mlxd.wire.jobs import Job
from mlxd.worker.engine.events import StepOutput


class JobSessions(Protocol):
    """The requests of one worker on its I/O thread, where every method is called: from a ``Job`` to tokens, and from what the engine says
    of it to wire events. Each request ends in one ``Finished`` or ``Failed``; an aborted one in silence.
    """

    def open(self, job: Job) -> None:
        """Queues a request. What is wrong with it, and that the model does no such job, is answered by ``Failed``.

        It has its place when this returns, so an ``Abort`` that comes right behind finds it.
        """

    def abort(self, request_id: str) -> None:
        """Ends a request of which nothing more is said; the engine stops within one step."""

    def deliver(self, output: StepOutput) -> None:
        """Sends one step of the engine as one frame."""

    def reconfigure(self, limits: Limits) -> None:
        """Makes the limits hold, also for requests that run."""

    @property
    def grammar_bytes(self) -> int:
        """Returns about how much memory grammars take, in bytes."""
        return 0

    def close(self) -> None:
        """Forgets all requests, without a word to whoever waits for them: the worker ends."""
