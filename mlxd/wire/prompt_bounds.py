"""How long a prompt of a model may be, told before it is tokenized: by the daemon already, so that what cannot fit is never sent."""

import msgspec

from mlxd.errors import ContextLengthError
from mlxd.wire.prompts import ChatPrompt, Prompt, TextPrompt, TokenPrompt


class PromptBounds(msgspec.Struct, frozen=True):
    """What a model's context holds: ``most_characters`` are those of a text of nothing but the longest token."""

    context_length: int
    most_characters: int

    def check(self, prompt: Prompt) -> None:
        """Raises ``ContextLengthError`` for what cannot fit whatever its tokens are: megabytes would hold everybody up for nothing."""
        match prompt:
            case TokenPrompt(token_ids=ids):
                if len(ids) > self.context_length:
                    raise self.too_many_tokens(len(ids), prompt)
            case _:
                characters = _characters(prompt)
                if characters > self.most_characters:
                    raise ContextLengthError(
                        f"the prompt has {characters} characters, but the model's context holds {self.context_length} tokens, "
                        f"or at most {self.most_characters} characters; shorten the prompt",
                        param=field_of(prompt),
                    )

    def too_many_tokens(self, found: int, prompt: Prompt) -> ContextLengthError:
        """Returns the error of a prompt that has so many tokens."""
        message = (
            f"the prompt has {found} tokens, but the model's context holds {self.context_length}, "
            "at least one of them for the answer; shorten the prompt"
        )
        return ContextLengthError(message, param=field_of(prompt))


def field_of(prompt: Prompt) -> str:
    """Names the field that a client sends it in."""
    return "messages" if isinstance(prompt, ChatPrompt) else "prompt"


def _characters(prompt: ChatPrompt | TextPrompt) -> int:
    """Returns how many characters a prompt will have at least."""
    if isinstance(prompt, TextPrompt):
        return len(prompt.text)
    spoken = sum(len(message.content) + len(message.reasoning or "") for message in prompt.messages)
    called = sum(len(call.arguments) for message in prompt.messages for call in message.tool_calls)
    return spoken + called + (len(msgspec.json.encode(prompt.tools)) if prompt.tools else 0)
