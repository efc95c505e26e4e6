"""Questions that one worker was asked and has not answered, by id: it may answer them in any order."""

import asyncio
import itertools
from collections.abc import Callable

from mlxd.errors import MlxdError, from_code
from mlxd.wire.messages import AdapterAnswer, AdapterRefused, TokenAnswer, Unreadable

Answer = TokenAnswer | AdapterAnswer


class QuestionTable:
    """A table of questions. Each is in here until it is answered, also where nobody waits any more."""

    def __init__(self) -> None:
        self._ids = map(str, itertools.count())
        self._open: dict[str, asyncio.Future[Answer]] = {}

    def new_id(self) -> str:
        """Returns an id that no other question has."""
        return next(self._ids)

    def open(self, question_id: str) -> "asyncio.Future[Answer]":
        """Returns a future of the answer, which fails with the typed error that the worker gives instead, or that ``fail_all`` is given."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._open[question_id] = answer
        return answer

    def settle(self, answer: Answer) -> None:
        """Gives an answer to whoever asked; one for an unknown id is dropped."""
        waiting = self._open.pop(answer.id, None)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, Unreadable | AdapterRefused):
            info = answer.error
            waiting.set_exception(from_code(info.code, info.message, param=info.param, retry_after=info.retry_after))
        else:
            waiting.set_result(answer)

    def fail_all(self, error: Callable[[], MlxdError]) -> None:
        """Ends every question, each with an error of its own."""
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(error())
        self._open.clear()
