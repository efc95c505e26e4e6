"""From the texts of pins to the tokens with which prompts begin that have them."""

import logging
from collections.abc import Sequence
from itertools import takewhile

from mlxd.cache_terms import PinnedPrompt
from mlxd.errors import MlxdError
from mlxd.types import ChatMessage
from mlxd.wire.prompts import ChatPrompt, TextPrompt
from mlxd.worker.engine.pin_order import PinOrder
from mlxd.worker.text.prompt import PromptEncoder

_log = logging.getLogger(__name__)

_QUESTIONS = ("a", "7", "\n", " é")  # what users say behind it: where one of these changes a token, that is none of the beginning


class PinEncoder:
    """An encoder of the pins of one model, for one thread at a time."""

    def __init__(self, prompts: PromptEncoder) -> None:
        self._prompts = prompts

    def orders(self, pins: Sequence[PinnedPrompt]) -> tuple[PinOrder, ...]:
        """Returns what is to stay in the cache. One that cannot be encoded says why."""
        return tuple(map(self._order, pins))

    def _order(self, pin: PinnedPrompt) -> PinOrder:
        root = self._prompts.root
        try:
            return PinOrder(pin.name, root, tuple(self._tokens(pin)))
        except MlxdError as error:
            hint = '; use form = "text"' if pin.form == "system" and not self._prompts.has_chat else ""
            return PinOrder(pin.name, root, refusal=error.message + hint)
        except Exception as error:  # noqa: BLE001 - whatever a tokenizer raises concerns this one only
            _log.exception("the pin %s could not be tokenized", pin.name)
            return PinOrder(pin.name, root, refusal=f"it could not be tokenized: {type(error).__name__}: {error}")

    def _tokens(self, pin: PinnedPrompt) -> list[int]:
        """Returns the tokens that do not depend on what follows."""
        if pin.form == "text":
            texts = [TextPrompt(text=pin.text + more) for more in _QUESTIONS]
            return _common([self._prompts.encode(prompt, 0).tokens for prompt in texts])
        system = ChatMessage(role="system", content=pin.text)
        chats = [
            ChatPrompt(messages=[system, ChatMessage(role="user", content=question)], special_tokens=pin.special_tokens)
            for question in _QUESTIONS
        ]
        return _common([self._prompts.encode(chat, 0).tokens for chat in chats])


def _common(sequences: list[list[int]]) -> list[int]:
    return [together[0] for together in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*sequences, strict=False))]
