"""In whose messages a chat template shows pictures and films, found out by rendering one in each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import MediaKind
from mlxd.worker.text.chat_template import ChatRenderer, Conversation, Message
from mlxd.worker.text.message_parts import media_part, text_key, text_part
from mlxd.worker.text.template_probe import TOOLS, TemplateTraits, probed_turn

_BEFORE, _BEHIND = "before_probe", "behind_probe"
_USER: Message = {"role": "user", "content": "Hello"}
_ANSWER: Message = {"role": "assistant", "content": "Hi"}


def seeing(renderer: ChatRenderer, traits: TemplateTraits, placeholders: Mapping[MediaKind, str]) -> TemplateTraits:
    """Returns the traits of a template whose model sees: with the roles in whose messages each kind is shown by its placeholder."""
    key = text_key(renderer)
    shows = {kind: frozenset(_roles(renderer, traits, kind, placeholder, key)) for kind, placeholder in placeholders.items()}
    return replace(traits, shows_media={kind: roles for kind, roles in shows.items() if roles}, text_key=key)


def _roles(renderer: ChatRenderer, traits: TemplateTraits, kind: MediaKind, placeholder: str, key: str) -> Iterator[str]:
    content = [text_part(_BEFORE, key), media_part(kind), text_part(_BEHIND, key)]
    for role, messages, tools in _conversations(traits):
        shown = [message if "content" in message else {**message, "content": content} for message in messages]
        try:
            rendered = renderer.render(Conversation(shown, tools))
        except InvalidRequestError:
            continue
        if rendered.count(placeholder) == 1 and _BEFORE in rendered and _BEHIND in rendered:
            yield role


def _conversations(traits: TemplateTraits) -> Iterator[tuple[str, Sequence[Message], Sequence[Mapping[str, object]]]]:
    """Yields, for each role, a conversation with one message of it that has no content yet."""
    yield "user", [{"role": "user"}], ()
    yield "assistant", [_USER, {"role": "assistant"}, _USER], ()
    yield "system", [{"role": "system"}, _USER], ()
    if traits.shows_calls:
        call, result = probed_turn(traits)
        open_result = {name: value for name, value in result.items() if name != "content"}
        yield "tool", [_USER, call, open_result], TOOLS
        yield "tool", [_USER, call, open_result, _ANSWER, _USER], TOOLS
