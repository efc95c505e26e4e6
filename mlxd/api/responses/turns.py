"""From the items of a conversation to messages, as chat templates know them: what a model thought, said and called before somebody else
spoke is one turn of its.
"""

from collections.abc import Sequence

from mlxd.api.fields.open_calls import OpenCalls
from mlxd.api.media.content import Content
from mlxd.types import ChatMessage, ToolCall

_BETWEEN = "\n\n"  # of one turn's messages


class Turns:
    """A conversation under construction. ``place`` is where the item that is told is in the request."""

    def __init__(self) -> None:
        self.place = ""
        self._messages: list[ChatMessage] = []
        self._calls = OpenCalls()
        self._thought: list[str] = []
        self._said: list[str] = []
        self._called: list[ToolCall] = []

    def instructed(self, text: str) -> None:
        """Adds what is said by who instructs the model."""
        self._end_turn()
        self._messages.append(ChatMessage(role="system", content=text))

    def asked(self, content: Content) -> None:
        """Adds what the user says and shows."""
        self._end_turn()
        self._messages.append(ChatMessage(role="user", content=content.text, media=list(content.media)))

    def thought(self, text: str) -> None:
        """Adds what the model thought."""
        self._begin_answer()
        self._thought.append(text)

    def said(self, text: str) -> None:
        """Adds what the model answered."""
        self._begin_answer()
        self._said.append(text)

    def called(self, call: ToolCall) -> None:
        """Adds a call that the model made."""
        self._called.append(call)

    def result(self, call_id: str | None, name: str | None, given: Content) -> None:
        """Adds what a call gave."""
        self._end_turn()
        call = self._calls.answered(call_id, name)
        found_name, identity = (call.name, call.id) if call else (name, call_id)
        self._messages.append(
            ChatMessage(
                role="tool",
                content=given.text,
                name=found_name or None,
                tool_call_id=identity or None,
                media=list(given.media),
            )
        )

    def messages(self) -> list[ChatMessage]:
        """Returns the conversation so far."""
        self._end_turn()
        return self._messages

    def _begin_answer(self) -> None:
        """Ends a turn that has its answer already: what follows it is another answer, unless it goes on behind calls."""
        if self._said and not self._called:
            self._end_turn()

    def _end_turn(self) -> None:
        if not self._thought and not self._said and not self._called:
            return
        calls = self._calls.made(self._called, len(self._messages))
        message = ChatMessage(role="assistant", content=_joined(self._said), reasoning=_joined(self._thought) or None, tool_calls=calls)
        self._messages.append(message)
        self._thought, self._said, self._called = [], [], []


def _joined(texts: Sequence[str]) -> str:
    return _BETWEEN.join(text for text in texts if text)
