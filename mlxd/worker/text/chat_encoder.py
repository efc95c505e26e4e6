"""Conversations to token ids, by a model's own template."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlxd.errors import InvalidRequestError, UnsupportedParameterError
from mlxd.types import ToolShape
from mlxd.wire.prompts import ChatPrompt
from mlxd.worker.encoded_prompt import MediaInput, MediaSpan, Opening
from mlxd.worker.text.chat_template import ChatRenderer, Conversation
from mlxd.worker.text.conversation import ChatFormat, conversation_of
from mlxd.worker.text.framed_tokenizer import END, MARK, FramedTokenizer
from mlxd.worker.text.media_processor import SeenMedia
from mlxd.worker.text.media_text import MediaText
from mlxd.worker.text.plain_schema import plain_tool
from mlxd.worker.text.seen import PlacedMedia, Seen

_BLAMING = 5.0  # seconds of processor time to find the tool that cannot be rendered


@dataclass(frozen=True)
class EncodedChat:
    """The tokens of a conversation, what it leaves open, how many of its first tokens the next turn's begins with, and what it shows."""

    tokens: list[int]
    opening: Opening
    lasting: int = 0
    spans: tuple[MediaSpan, ...] = ()
    inputs: tuple[MediaInput, ...] = ()


@dataclass(frozen=True)
class _Last:
    """A message that is to be continued: the ``keys`` under which it is shown, and what it is in the middle of."""

    keys: frozenset[str]
    opening: Opening


class ChatEncoder:
    """An encoder of the conversations of one model. It may be called from several threads at once."""

    def __init__(self, tokenizer: FramedTokenizer, chat: ChatFormat, media: MediaText | None = None) -> None:
        """``media`` None means that the model sees nothing."""
        self._tokenizer = tokenizer
        self._chat = chat
        self._shapes = chat.shapes
        self._media = media

    def encode(self, prompt: ChatPrompt, seen: Seen) -> EncodedChat:
        """Returns the tokens; ``seen`` is what was made of the prompt's pictures and films. Raises ``InvalidRequestError`` where the
        model's template refuses the conversation.
        """
        if prompt.tools and self._shapes.tools is ToolShape.NONE:
            raise UnsupportedParameterError(f"this model calls no tools: {self._shapes.tools_origin}", param="tools")
        chat = self._chat.fitting(prompt)
        conversation = conversation_of(prompt, chat.traits, self._guard(prompt))
        if prompt.continue_final_message:
            last = self._last(prompt, chat)
            text, opening = _up_to_end(rendered(chat.renderer, _ended(conversation, last.keys))), last.opening
        else:
            text = rendered(chat.renderer, conversation)
            opening = self._opened(text)
        shown = seen.of(conversation.media)
        text = self._media.written(text, shown, conversation.media) if self._media is not None else text
        placed, opens_at = self._placed(text, prompt, shown), self._opens_at(text, chat)
        opener = [] if prompt.continue_final_message or opens_at is None else self._tokens(text[opens_at:], prompt)
        lasting = max(0, len(placed.tokens) - len(opener)) if opener else 0
        return EncodedChat(placed.tokens, opening, lasting, placed.spans, placed.inputs)

    def _placed(self, text: str, prompt: ChatPrompt, shown: Sequence[SeenMedia]) -> PlacedMedia:
        tokens = self._tokens(text, prompt)
        return PlacedMedia(tokens) if self._media is None else self._media.placed(text, tokens, shown)

    def _tokens(self, text: str, prompt: ChatPrompt) -> list[int]:
        if prompt.special_tokens:
            return self._tokenizer.encode_text(text.replace(MARK, ""), add_special_tokens=False)
        return self._tokenizer.encode(text)

    def _opens_at(self, text: str, chat: ChatFormat) -> int | None:
        """Returns where the template opens the answer. What it writes there about reasoning differs from request to request, and is not
        written before an answer of an earlier turn.
        """
        opener, thinking = chat.traits.opener, self._shapes.thinking
        head = opener if thinking is None else opener.partition(thinking.opens)[0]
        at = text.rfind(head) if head.strip() else -1
        return at if at > 0 else None

    def _guard(self, prompt: ChatPrompt) -> Callable[[str], str]:
        """Returns what marks a client's string: it spells no control token, and opens and closes no reasoning at the prompt's end."""
        if prompt.special_tokens:
            return str
        thinking = self._shapes.thinking
        markers = () if thinking is None else (thinking.opens, thinking.closes)

        def guard(text: str) -> str:
            guarded = self._tokenizer.guarded(text)
            return guarded + MARK if markers and text.rstrip().endswith(markers) else guarded

        return guard

    def _opened(self, rendered: str) -> Opening:
        """Tells what the template has opened or closed behind the last message."""
        thinking, end = self._shapes.thinking, rendered.rstrip()
        if thinking is None:
            return Opening.NONE
        if end.endswith(thinking.opens):
            return Opening.REASONING
        return Opening.CONTENT if end.endswith(thinking.closes) else Opening.NONE

    def _last(self, prompt: ChatPrompt, chat: ChatFormat) -> _Last:
        """Tells where the last message is to go on. Raises ``InvalidRequestError`` where it cannot."""
        last = prompt.messages[-1]
        if last.tool_calls:
            raise InvalidRequestError("a message that calls tools is complete, and cannot be continued", param="messages")
        if last.content or not last.reasoning:
            return _Last(frozenset({"content"}), self._inside(last.content))
        if not chat.traits.reasoning:
            raise InvalidRequestError("the model's chat template shows no earlier reasoning, so it cannot be continued", param="messages")
        return _Last(chat.traits.reasoning, Opening.REASONING)

    def _inside(self, content: str) -> Opening:
        thinking = self._shapes.thinking
        is_inside = thinking is not None and content.rfind(thinking.opens) > content.rfind(thinking.closes)
        return Opening.REASONING if is_inside else Opening.CONTENT


def rendered(renderer: ChatRenderer, conversation: Conversation) -> str:
    """Renders a conversation. Where the template fails on its tools, they are made plainer; the one that it cannot render is named."""

    def render(tools: Sequence[Mapping[str, Any]]) -> str:
        return renderer.render(replace(conversation, tools=tools))

    try:
        return render(conversation.tools)
    except InvalidRequestError as error:
        if not conversation.tools:
            raise
        try:
            return render([plain_tool(tool) for tool in conversation.tools])
        except InvalidRequestError:
            raise _blamed(render, conversation.tools, error) from None


def _blamed(
    render: Callable[[Sequence[Mapping[str, Any]]], str], tools: Sequence[Mapping[str, Any]], error: InvalidRequestError
) -> InvalidRequestError:
    """Returns the error that names the first tool that fails alone; ``error`` where the conversation fails without any."""
    until = time.thread_time() + _BLAMING
    if not _renders(render, []):
        return error
    for index, tool in enumerate(tools):
        if time.thread_time() > until:
            break
        if not _renders(render, [tool]):
            return InvalidRequestError(f"tools[{index}] cannot be shown to the model: {error.message}", param=f"tools[{index}]")
    return InvalidRequestError(error.message, param="tools")


def _renders(render: Callable[[Sequence[Mapping[str, Any]]], str], tools: Sequence[Mapping[str, Any]]) -> bool:
    try:
        render(tools)
    except InvalidRequestError:
        return False
    return True


def _ended(conversation: Conversation, keys: Collection[str]) -> Conversation:
    """Returns the conversation with a mark where the last message ends."""
    *before, last = conversation.messages
    return replace(conversation, messages=[*before, {**last, **{key: _with_end(last[key]) for key in keys}}])


def _with_end(content: Any) -> Any:
    """Returns a text, or the last of the parts of one, with the mark behind it."""
    if isinstance(content, str):
        return content + END
    *before, last = content
    return [*before, {key: text if key == "type" else text + END for key, text in last.items()}]


def _up_to_end(rendered: str) -> str:
    """Returns the text up to where the last message ends, and the model is to go on. Raises ``InvalidRequestError`` where that is not
    shown.
    """
    at = rendered.rfind(END)
    if at < 0:
        raise InvalidRequestError("the model's chat template does not show the last message, so it cannot be continued", param="messages")
    return rendered[:at]
