"""What a chat template wants of a conversation with tools, found out by rendering one in every form that is in use."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import Any

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import MediaKind
from mlxd.worker.text.chat_template import ChatRenderer, Conversation, Message


@dataclass(frozen=True)
class Probed:
    """The tool that conversations call here, and the value of its only argument."""

    name: str
    parameters: dict[str, Any]
    value: str


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")  # of reasoning, rising

_NAME, _KEY, _VALUE, _RESULT = "find_probe", "city_probe", "Oslo_probe", "sunny_probe"
_SENDER = "sender_probe"  # of the result: else nobody could tell whether the call shows the name
_OTHER = "Bergen_probe"
_ARGUMENTS = {_KEY: _VALUE}
_TEXT, _LATE, _THOUGHT = "spoken_probe", "late_probe", "thought_probe"
_LONG_ID, _SHORT_ID = "call_probe0123456789abcdef", "probe0123"
_PARAMETERS = {"type": "object", "properties": {_KEY: {"type": "string", "description": "A city."}}, "required": [_KEY]}
PROBED = Probed(_NAME, _PARAMETERS, _VALUE)
TOOLS = ({"type": "function", "function": {"name": _NAME, "description": "Finds.", "parameters": _PARAMETERS}},)
_USER: Message = {"role": "user", "content": "Hello"}
_SYSTEM: Message = {"role": "system", "content": "Be brief."}
_NO_SYSTEM: Message = {"role": "system", "content": ""}
_KEYS_OF_REASONING = ("reasoning_content", "thinking", "reasoning")


class ArgumentForm(StrEnum):
    """How a call's arguments are given to a template."""

    TEXT = "text"  # the JSON text as the client sent it
    OBJECT = "object"


class TextBesideCalls(StrEnum):
    """What becomes of the text of a message that calls."""

    SHOWN = "shown"
    APART = "apart"  # in a message of its own, before the one that calls
    LOST = "lost"  # the template shows either, and a call counts for more


class IdForm(StrEnum):
    """Which ids of calls a template can use."""

    ANY = "any"
    SHORT = "short"  # nine letters and digits: Mistral
    FUNCTION = "function"  # functions.NAME:NUMBER, which is all that names the function: Kimi


@dataclass(frozen=True)
class ExampleCall:
    """A call of ``PROBED`` as a template writes it: ``prompt`` is the conversation before it with the opening of an answer, and ``written``
    with the call instead, as the model is to write it.
    """

    prompt: str
    written: str


@dataclass(frozen=True)
class TemplateTraits:
    """What a template does with a conversation. By default, everything it is given.

    ``empty`` is the content of a message that is nothing but calls. ``efforts`` are the values of ``reasoning_effort`` that it takes.
    ``opener`` is what it writes to open an answer; empty where that cannot be told from what is before it.
    """

    shows_tools: bool = True
    tools_need_system: bool = False  # they are shown beside a system message only
    shows_calls: bool = True
    arguments: ArgumentForm = ArgumentForm.OBJECT
    ids: IdForm = IdForm.ANY
    empty: str | None = ""
    text_beside_calls: TextBesideCalls = TextBesideCalls.SHOWN
    takes_many_calls: bool = True  # a message may have several
    reasoning: frozenset[str] = frozenset()  # the keys under which it looks for an earlier turn's
    reasoning_beside_text: bool = True  # also where that turn has text and calls
    variables: frozenset[str] = frozenset()  # that it reads
    efforts: tuple[str, ...] = ()
    takes_system: bool = True
    takes_two_systems: bool = True
    takes_users_in_a_row: bool = True
    takes_late_system: bool = True
    opener: str = ""
    example: ExampleCall | None = None  # None where calls are not shown
    shows_media: Mapping[MediaKind, frozenset[str]] = field(default_factory=dict)  # in whose messages, by their role
    text_key: str = "text"  # of a part of a message that shows something


@dataclass(frozen=True)
class _CallForm:
    """One way to give a call to a template, and what became of it."""

    arguments: ArgumentForm
    empty: str | None
    call_id: str
    rendered: str


def probe(renderer: ChatRenderer) -> TemplateTraits:
    """Returns what ``renderer`` does. It is rendered some twenty times; what it refuses is no error here."""
    return _Probe(renderer).traits()


class _Probe:
    def __init__(self, renderer: ChatRenderer) -> None:
        self._renderer = renderer

    def traits(self) -> TemplateTraits:
        plain = self._try([_USER])
        if plain is None and self._try([_SYSTEM, _USER]) is None:
            return TemplateTraits(shows_tools=False, shows_calls=False)
        tools_alone = _has(self._try([_USER], tools=TOOLS), _NAME)
        shows_tools = tools_alone or _has(self._try([_NO_SYSTEM, _USER], tools=TOOLS), _NAME)
        form = self._call_form() if shows_tools else None  # else all of it is told by a prompt that asks for another form
        return TemplateTraits(
            shows_tools=shows_tools,
            tools_need_system=shows_tools and not tools_alone,
            shows_calls=form is not None,
            arguments=form.arguments if form else ArgumentForm.TEXT,
            ids=_id_form(form) if form else IdForm.ANY,
            empty=form.empty if form else "",
            text_beside_calls=self._text_beside(form) if form else TextBesideCalls.SHOWN,
            takes_many_calls=form is None or self._takes_many(form),
            reasoning=self._keys_of_reasoning(),
            reasoning_beside_text=form is not None and self._takes_reasoning(form),
            variables=self._renderer.reads,
            efforts=tuple(self._efforts()),
            takes_system=_has(self._try([_SYSTEM, _USER]), _SYSTEM["content"]),
            takes_two_systems=_has(self._try([_SYSTEM, {"role": "system", "content": _LATE}, _USER]), _LATE),
            takes_users_in_a_row=_has(self._try([_USER, {"role": "user", "content": _LATE}]), _LATE),
            takes_late_system=self._takes_late_system(),
            opener=self._opener(),
            example=self._example(form) if form else None,
        )

    def _example(self, form: _CallForm) -> ExampleCall | None:
        call_id = f"functions.{_NAME}:0" if _id_form(form) is IdForm.FUNCTION else form.call_id
        call, _ = _turn(call_id, form.arguments, form.empty)
        prompt, written = self._try([_USER], tools=TOOLS), self._try([_USER, call], tools=TOOLS, opens_answer=False)
        return None if prompt is None or written is None else ExampleCall(prompt, written)

    def _call_form(self) -> _CallForm | None:
        """Returns the first form of a call that is shown rightly. Text comes before an object where both are shown alike: it is what the
        model wrote.
        """
        for call_id in (_LONG_ID, _SHORT_ID):
            forms = [form for tools in ((), TOOLS) for form in self._forms(call_id, tools)]
            objects = [form for form in forms if form.arguments is ArgumentForm.OBJECT and _is_right(form)]
            texts = [form for form in forms if form.arguments is ArgumentForm.TEXT and _is_right(form)]
            as_json = not objects or json.dumps(_ARGUMENTS) in objects[0].rendered
            if found := next(iter([*texts, *objects] if as_json else objects), None):
                return found
        return None

    def _forms(self, call_id: str, tools: Sequence[Mapping[str, Any]]) -> Iterator[_CallForm]:
        for empty, arguments in product(("", None), ArgumentForm):
            rendered = self._try([_USER, *_turn(call_id, arguments, empty)], tools=tools)
            if rendered is not None:
                yield _CallForm(arguments, empty, call_id, rendered)

    def _text_beside(self, form: _CallForm) -> TextBesideCalls:
        rendered = self._try([_USER, *_turn(form.call_id, form.arguments, _TEXT)], tools=TOOLS)
        if _has(rendered, _VALUE) and _has(rendered, _TEXT):
            return TextBesideCalls.SHOWN
        text: Message = {"role": "assistant", "content": _TEXT}
        turn = _turn(form.call_id, form.arguments, form.empty)
        rendered = self._try([_USER, text, *turn, {"role": "assistant", "content": "Done."}, _USER], tools=TOOLS)
        return TextBesideCalls.APART if _has(rendered, _VALUE) and _has(rendered, _TEXT) else TextBesideCalls.LOST

    def _takes_many(self, form: _CallForm) -> bool:
        call, result = _turn(form.call_id, form.arguments, form.empty)
        other = json.loads(json.dumps(call["tool_calls"]).replace(_VALUE, _OTHER).replace("probe01", "probe10"))
        both = {**call, "tool_calls": [*call["tool_calls"], *other]}
        rendered = self._try([_USER, both, result, {**result, "tool_call_id": other[0]["id"]}], tools=TOOLS)
        return _has(rendered, _VALUE) and _has(rendered, _OTHER)

    def _keys_of_reasoning(self) -> frozenset[str]:
        return frozenset(key for key in _KEYS_OF_REASONING if re.search(rf"""['".]{key}\b""", self._renderer.spells))

    def _takes_reasoning(self, form: _CallForm) -> bool:
        call, result = _turn(form.call_id, form.arguments, _TEXT)
        thoughts = dict.fromkeys(self._keys_of_reasoning(), _THOUGHT)
        return self._try([_USER, {**call, **thoughts}, result], tools=TOOLS) is not None

    def _efforts(self) -> Iterator[str]:
        if "reasoning_effort" not in self._renderer.reads:
            return
        known = ("low", "medium", "high") if "<|channel|>" in self._renderer.spells else EFFORTS
        for effort in known:
            if self._try([_USER], variables={"reasoning_effort": effort}) is not None:
                yield effort

    def _opener(self) -> str:
        for messages in ([_USER], [_SYSTEM, _USER]):
            opened, closed = self._try(messages), self._try(messages, opens_answer=False)
            if opened is not None and closed is not None and opened.startswith(closed):
                return opened[len(closed) :]
        return ""

    def _takes_late_system(self) -> bool:
        late: Message = {"role": "system", "content": _LATE}
        answer: Message = {"role": "assistant", "content": "Hi"}
        return all(_has(self._try(turns), _LATE) for turns in ([_USER, answer, _USER, late], [_USER, late, answer, _USER]))

    def _try(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
        opens_answer: bool = True,
    ) -> str | None:
        try:
            return self._renderer.render(Conversation(messages, tools, variables or {}, opens_answer))
        except InvalidRequestError:
            return None


def probed_turn(traits: TemplateTraits) -> list[Message]:
    """Returns a message that calls, in the form that the template wants, and the call's result."""
    call_id = {IdForm.ANY: _LONG_ID, IdForm.SHORT: _SHORT_ID, IdForm.FUNCTION: f"functions.{_NAME}:0"}[traits.ids]
    return _turn(call_id, traits.arguments, traits.empty)


def _turn(call_id: str, arguments: ArgumentForm, content: str | None) -> list[Message]:
    """Returns a message that calls, and the call's result."""
    given = _ARGUMENTS if arguments is ArgumentForm.OBJECT else json.dumps(_ARGUMENTS)
    call = {"id": call_id, "type": "function", "function": {"name": _NAME, "arguments": given}}
    result = {"role": "tool", "content": _RESULT, "tool_call_id": call_id, "name": _SENDER}
    return [{"role": "assistant", "content": content, "tool_calls": [call]}, result]


def _is_right(form: _CallForm) -> bool:
    """Tells whether the call and its result are shown, neither as Python writes them nor as JSON in JSON."""
    text = form.rendered
    if "None" in text and form.empty is None:
        return False
    if _VALUE not in text or _RESULT not in text or not (_NAME in text or form.call_id in text):
        return False
    return repr(_ARGUMENTS) not in text and json.dumps(json.dumps(_ARGUMENTS)) not in text


def _id_form(form: _CallForm) -> IdForm:
    if form.call_id == _SHORT_ID:
        return IdForm.SHORT
    return IdForm.ANY if _NAME in form.rendered else IdForm.FUNCTION


def _has(rendered: str | None, text: str) -> bool:
    return rendered is not None and text in rendered
