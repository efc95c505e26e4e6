"""A model's chat template: messages in, one text out; and whatever goes wrong in it, said in a typed error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jinja2.exceptions import TemplateError
from typing_extensions import override

from mlxd.errors import InvalidRequestError, excerpt
from mlxd.media_terms import Media
from mlxd.worker.text.template_environment import Budget, TemplateEnvironment, TemplateLimitError

Message = Mapping[str, Any]

_SECONDS = 5.0  # of processor time that one rendering may take
_CHARACTERS = 100_000_000  # that one rendering may write
_ENVIRONMENT = TemplateEnvironment()


@dataclass(frozen=True)
class Conversation:
    """What is rendered; where ``opens_answer``, with the beginning of an answer behind it. ``variables`` are the request's own, and
    ``media`` what its messages show, in order.
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    opens_answer: bool = True
    media: Sequence[Media] = ()


class ChatRenderer(Protocol):
    """A renderer writes a conversation as the model wants it. It may be called from several threads at once.

    ``origin`` says where it was read, ``reads`` are the names of the variables it looks at, and ``spells`` is its source, or nothing where
    that is no text.
    """

    origin: str
    reads: frozenset[str]
    spells: str

    def render(self, conversation: Conversation) -> str:
        """Returns the text. Raises ``InvalidRequestError`` where it cannot be rendered."""


class ChatTemplate(ChatRenderer):
    """A template that was compiled; ``origin`` says where it was read, and every error names it."""

    def __init__(self, text: str, origin: str, variables: Mapping[str, Any]) -> None:
        """Compiles the template. Raises ``BrokenTemplateError`` for a text that is no template."""
        self.origin = origin
        self.spells = text
        self._variables = dict(variables)
        try:
            compiled = _ENVIRONMENT.compiled(text)
        except Exception as error:  # Jinja's own errors, and what Python says of the code made from it
            raise BrokenTemplateError(f"the model's chat template ({origin}) is broken: {said(error)}") from error
        self._template, self.reads = compiled.template, compiled.reads

    @property
    def own(self) -> frozenset[str]:
        """Returns the names of the variables that the model's files set."""
        return frozenset(self._variables)

    @override
    def render(self, conversation: Conversation) -> str:
        budget = Budget(seconds=_SECONDS, characters=_CHARACTERS)
        given = {
            "messages": list(conversation.messages),
            "tools": list(conversation.tools) or None,
            "add_generation_prompt": conversation.opens_answer,
        }
        variables = self._variables | dict(conversation.variables) | given | budget.variables
        try:
            return "".join(budget.passed(self._template.generate(variables)))
        except Exception as error:
            raise refusal(self.origin, error) from error


class BrokenTemplate(ChatRenderer):
    """A stand-in for a template that cannot render anything: the model completes text, and refuses to chat."""

    origin = "a broken chat template"
    reads = frozenset()
    spells = ""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    @override
    def render(self, conversation: Conversation) -> str:
        raise InvalidRequestError(f"{self._reason}; use /v1/completions", param="messages")


class BrokenTemplateError(Exception):
    """A chat template that cannot be compiled; the message says where it is and what is wrong."""


def refusal(origin: str, error: Exception) -> InvalidRequestError:
    """Returns what a client is told of an error in its messages' rendering."""
    verb = "refuses" if isinstance(error, TemplateError) else "fails on"
    return InvalidRequestError(f"the model's chat template ({origin}) {verb} these messages: {said(error)}", param="messages")


def said(error: Exception) -> str:
    """Says a library's error in one line."""
    message = excerpt((str(error).splitlines() or [""])[0])  # it may repeat what a client wrote
    if isinstance(error, TemplateError):
        line = getattr(error, "lineno", None)
        return f"line {line}: {message}" if line else message
    if isinstance(error, TemplateLimitError):
        return message
    return f"{type(error).__name__}: {message}"
