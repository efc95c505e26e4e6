"""Questions about tokens, of which nothing is generated: what a prompt's tokens are, and what tokens say."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

from mlxd.errors import GenerationError, InvalidRequestError, MlxdError
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.messages import Detokenize, Detokenized, TokenAnswer, Tokenize, Tokenized, Unreadable
from mlxd.worker.media_pool import MediaPool
from mlxd.worker.text.logprobs import TokenTexts
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.text.seen import NOTHING, Seen

_log = logging.getLogger(__name__)


class TokenQuestions:
    """Questions, answered in the thread that tokenizes: behind the prompts that came before them. ``send`` is called on the I/O thread."""

    def __init__(
        self, encoder: PromptEncoder, texts: TokenTexts, thread: Executor, send: Callable[[TokenAnswer], None], media: MediaPool
    ) -> None:
        self._encoder = encoder
        self._media = media
        self._texts = texts
        self._thread = thread
        self._send = send
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: Tokenize | Detokenize) -> None:
        """Takes a question, which is answered once, by ``Unreadable`` where something is wrong with it."""
        task = asyncio.get_running_loop().create_task(self._work_off(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _work_off(self, question: Tokenize | Detokenize) -> None:
        try:
            seen = await self._media.see(question.prompt) if isinstance(question, Tokenize) else NOTHING
            answer = await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, question, seen)
        except MlxdError as error:
            answer = Unreadable(id=question.id, error=ErrorInfo.of(error))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a tokenizer's fault is this question's only; its panic is no Exception
            _log.exception("the question %s about tokens could not be answered", question.id)
            answer = Unreadable(id=question.id, error=ErrorInfo.of(GenerationError(f"the tokenizer failed: {error}")))
        self._send(answer)

    def _answer(self, question: Tokenize | Detokenize, seen: Seen) -> TokenAnswer:
        match question:
            case Tokenize(prompt=prompt):
                tokens = self._encoder.tokenize(prompt, seen)
                pieces = [raw.decode(errors="replace") for raw in self._raw(tokens)] if question.with_pieces else []
                return Tokenized(id=question.id, tokens=tokens, pieces=pieces)
            case Detokenize(token_ids=tokens):
                self._check(tokens)
                return Detokenized(id=question.id, text=b"".join(self._raw(tokens)).decode(errors="replace"))

    def _raw(self, tokens: Sequence[int]) -> Iterator[bytes]:
        """Yields the bytes of each token, as it stands behind the one before it."""
        return (self._texts.raw(token) if at else self._texts.first(token) for at, token in enumerate(tokens))

    def _check(self, tokens: Sequence[int]) -> None:
        size = self._encoder.vocab_size
        for index, token in enumerate(tokens):
            if not 0 <= token < size:
                raise InvalidRequestError(f"token {token} at position {index} is outside the vocabulary of {size}", param="tokens")
