"""What an operator asks of adapters, answered one by one when it is done."""

import asyncio
from collections.abc import Callable

from mlxd.errors import MlxdError
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.messages import AdapterChanged, AdapterRefused, LoadAdapter, UnloadAdapter
from mlxd.worker.adapters.adapter_names import AdapterNames


class AdapterQuestions:
    """Questions on the I/O thread; answers go to ``send``, each behind the figures that ``tell_figures`` sends."""

    def __init__(
        self, adapters: AdapterNames, send: Callable[[AdapterChanged | AdapterRefused], None], tell_figures: Callable[[], None]
    ) -> None:
        self._adapters = adapters
        self._send = send
        self._tell_figures = tell_figures
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: LoadAdapter | UnloadAdapter) -> None:
        """Begins to do what is asked."""
        task = asyncio.get_running_loop().create_task(self._answer(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Answers nothing any more."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, question: LoadAdapter | UnloadAdapter) -> None:
        change = self._adapters.load if isinstance(question, LoadAdapter) else self._adapters.unload
        answer: AdapterChanged | AdapterRefused
        try:
            answer = AdapterChanged(id=question.id, figures=await change(question.name))
        except MlxdError as error:
            answer = AdapterRefused(id=question.id, error=ErrorInfo.of(error))
        self._tell_figures()
        self._send(answer)
