"""A model's tokenizer, its chat template, and the tokens that end an answer: what there is to know before its weights are read."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mlx_lm.utils import load_tokenizer
from typing_extensions import override

from mlxd.errors import InvalidRequestError
from mlxd.types import ToolShape
from mlxd.wire.model_facts import EndToken
from mlxd.worker.facts.chat_template import FoundTemplates
from mlxd.worker.facts.collector import without_collector
from mlxd.worker.facts.directory import DirectoryFacts, tokenizer_file
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.facts.settle import end_of_turn, unite
from mlxd.worker.facts.view import tokenizer_view
from mlxd.worker.runtime.library_errors import library_errors
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.chat_template import BrokenTemplate, BrokenTemplateError, ChatRenderer, ChatTemplate, Conversation, Message, refusal
from mlxd.worker.text.conversation import ChatFormat
from mlxd.worker.text.message_parts import renderer_of_texts
from mlxd.worker.text.shape_check import reads_call
from mlxd.worker.text.shapes import AS_SHOWN, Evidence, WishedShapes, find_shapes
from mlxd.worker.text.token_kinds import token_kinds
from mlxd.worker.text.word_cache import bound_word_cache

_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_ANSWER = "Paris"
_QUESTION = "Hello"
_TRIALS: Sequence[Sequence[Message]] = (
    ({"role": "user", "content": _QUESTION},),
    ({"role": "system", "content": "Be brief."}, {"role": "user", "content": _QUESTION}),
)
_TURN: Sequence[Message] = ({"role": "user", "content": "Which city?"}, {"role": "assistant", "content": _ANSWER})


@dataclass(frozen=True)
class OpenTokenizer:
    """What is known of a tokenizer: ``tokenizer`` is mlx-lm's wrapper, ``chat`` None means that the model has no chat template, and
    ``greeting`` is a short conversation in tokens, empty where none can be rendered.
    """

    tokenizer: Any
    vocabulary: Mapping[str, int]
    chat: ChatFormat | None
    template_origin: str | None
    end_tokens: list[EndToken]
    greeting: list[int]
    warnings: list[str]


def open_tokenizer(facts: DirectoryFacts, wished: WishedShapes = AS_SHOWN) -> OpenTokenizer:
    """Reads the tokenizer of a model's directory. ``wished`` are shapes that an operator has set. Raises ``ModelSourceError`` where it
    cannot be read.

    A template that cannot render a plain conversation is a warning, and the model then only completes text.
    """
    found = facts.template
    with without_collector(), tokenizer_view(facts) as view, library_errors(_what(facts.directory), (view, facts.directory)):
        settings = {"chat_template": found.chosen.text if found.chosen else None, "tool_parser_type": None}  # mlx-lm's parsers are not used
        tokenizer = load_tokenizer(view, settings)
        bound_word_cache(tokenizer)
        vocabulary: Mapping[str, int] = tokenizer.get_vocab()
        tokenizer.encode("Hello", add_special_tokens=True)
    renderer, origin = _renderer(tokenizer, found)
    of_texts = None if renderer is None else renderer_of_texts(renderer)
    warnings = [found.warning] if found.warning else []
    greeting: list[int] = []
    if of_texts is not None:
        try:
            rendered = _rendered(of_texts)
            greeting = tokenizer.encode(rendered, add_special_tokens=False)
            warnings += _doubts(rendered)
        except InvalidRequestError as error:
            warnings.append(f"chat requests may be refused, for a plain conversation is: {error.message}")
    chat = None if renderer is None else _chat_format(tokenizer, renderer, facts, frozenset(vocabulary), wished)
    warnings += chat.shapes.warnings if chat else []
    end_tokens = unite(facts.end_tokens, _own_end_tokens(tokenizer, of_texts, origin), vocabulary)
    warnings += _unread_calls(tokenizer, chat, {token.id for token in end_tokens}) if chat else []
    return OpenTokenizer(tokenizer, vocabulary, chat, origin, end_tokens, list(greeting), warnings)


def _what(directory: Path) -> str:
    files = [tokenizer_file(directory).name, *(name for name in _BESIDE if (directory / name).is_file())]
    return f"{directory}: the tokenizer cannot be read from {', '.join(files)}"


def _renderer(tokenizer: Any, found: FoundTemplates) -> tuple[ChatRenderer | None, str | None]:
    """Returns the renderer, and where it comes from. Some models are rendered by code of mlx-lm's or transformers' own instead of by a
    template.
    """
    if tokenizer.has_chat_template and (tokenizer.chat_template is None or "chat_template_type" in tokenizer.init_kwargs):
        return _LibraryRenderer(tokenizer), _LibraryRenderer.origin
    if found.chosen is None:
        return None, None
    try:
        return ChatTemplate(found.chosen.text, found.chosen.origin, _variables(tokenizer)), found.chosen.origin
    except BrokenTemplateError as error:
        return BrokenTemplate(str(error)), found.chosen.origin


def _variables(tokenizer: Any) -> dict[str, Any]:
    return {**tokenizer.special_tokens_map, "enable_thinking": tokenizer.has_thinking}


def _chat_format(
    tokenizer: Any, renderer: ChatRenderer, facts: DirectoryFacts, vocabulary: frozenset[str], wished: WishedShapes
) -> ChatFormat:
    """Probes the templates, and finds out which shapes their model speaks."""
    found, for_tools = facts.template, None
    warnings: tuple[str, ...] = ()
    if isinstance(renderer, ChatTemplate) and found.for_tools is not None:
        try:
            for_tools = ChatTemplate(found.for_tools.text, found.for_tools.origin, _variables(tokenizer))
        except BrokenTemplateError as error:
            warnings = (f"{error}: conversations with tools have the other one",)
    chat = ChatFormat.of(renderer, for_tools)
    used = chat.with_tools or chat
    origin = used.renderer.origin
    example = used.traits.example
    templates = {f"a call by {origin}": example.written if example else "", origin: used.renderer.spells, renderer.origin: renderer.spells}
    evidence = Evidence(templates, vocabulary, _parser_type(facts.directory), tells_tools=chat.tells_tools)
    shapes = find_shapes(evidence, wished)
    if shapes.tools is ToolShape.NONE and wished.tools is None and chat.tells_tools:
        warnings += (f"{origin} tells of tools in a form that is not known here: mlxd's own prompt does instead",)
        chat, shapes = chat.without_tools(), find_shapes(replace(evidence, tells_tools=False), wished)
    return replace(chat, shapes=replace(shapes, warnings=(*warnings, *shapes.warnings)))


def _unread_calls(tokenizer: Any, chat: ChatFormat, ends: Collection[int]) -> Iterator[str]:
    """Warns where a call as the template writes it is not found in what the model would have written."""
    example = (chat.with_tools or chat).traits.example
    if example is None or chat.shapes.tools is ToolShape.NONE:
        return
    reader = AnswerReader(decoder(tokenizer), token_kinds(tokenizer), chat.shapes)
    if not reads_call(example, reader, partial(tokenizer.encode, add_special_tokens=False), ends):
        shape = f"{chat.shapes.tools} ({chat.shapes.tools_origin})"
        yield f"a call as the chat template writes it is no call of the shape {shape}: calls may stay text"


def decoder(tokenizer: Any) -> Callable[[Sequence[int]], str]:
    """Returns a decoder that gives special tokens no text, and leaves spaces as the model wrote them."""

    def decode(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    return decode


def _parser_type(directory: Path) -> str | None:
    return JsonDocument.read_if_there(directory / "tokenizer_config.json").text("tool_parser_type")


def _rendered(renderer: ChatRenderer) -> str:
    """Renders a plain conversation; some templates want a system message. Raises what the renderer says of the first one."""
    refused: InvalidRequestError | None = None
    for messages in _TRIALS:
        try:
            return renderer.render(Conversation(messages))
        except InvalidRequestError as error:
            refused = refused or error
    assert refused is not None  # noqa: S101 - there are trials
    raise refused


def _doubts(rendered: str) -> list[str]:
    """Some templates want a message in parts, and pass over one that is a text."""
    if _QUESTION.lower() in rendered.lower():
        return []
    return ["the chat template does not show what a user's message says: answers to chats will not know it"]


def _own_end_tokens(tokenizer: Any, renderer: ChatRenderer | None, origin: str | None) -> dict[int, str]:
    own = {int(token): "the tokenizer's own" for token in tokenizer.eos_token_ids}
    if renderer is None:
        return own
    try:
        rendered = renderer.render(Conversation(_TURN, opens_answer=False))
    except InvalidRequestError:
        return own
    added = {token.content: int(number) for number, token in tokenizer.added_tokens_decoder.items()}
    end = end_of_turn(rendered, _ANSWER, added)
    return own if end is None else {end: f"the end of a turn in {origin}"} | own


class _LibraryRenderer(ChatRenderer):
    """Renders by the tokenizer's own code."""

    origin = "code of the tokenizer's library"
    reads = frozenset({"enable_thinking"})  # which mlx-lm gives to the code by the name that it has there

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        module = inspect.getmodule(getattr(tokenizer, "_chat_template", None))
        self.spells = "" if module is None else inspect.getsource(module)

    @override
    def render(self, conversation: Conversation) -> str:
        plain = [dict(message) for message in conversation.messages]
        given = dict(conversation.variables) | ({"tools": list(conversation.tools)} if conversation.tools else {})
        opens = conversation.opens_answer
        try:
            return str(self._tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=opens, **given))
        except Exception as error:
            raise refusal(self.origin, error) from error
