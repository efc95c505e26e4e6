"""Ids of calls as a model's template can use them: the same one for a call and for its result."""

import hashlib
import re
import string

from mlxd.types import ChatMessage, ToolCall
from mlxd.worker.text.template_probe import IdForm

_SHORT = re.compile(r"[a-zA-Z0-9]{9}")
_FUNCTION = re.compile(r"functions\.(.+):\d+", re.DOTALL)
_LETTERS = string.digits + string.ascii_letters


class CallIds:
    """The ids of one conversation, read in its order. Names of functions are known from the calls that came before their results."""

    def __init__(self, form: IdForm) -> None:
        self._form = form
        self._ids: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._unanswered: list[ToolCall] = []
        self._count = 0

    def of_call(self, call: ToolCall) -> str:
        """Returns the id under which the template gets a call."""
        self._ids[call.id] = self._made(call)
        self._names[call.id] = call.name
        self._unanswered.append(call)
        self._count += 1
        return self._ids[call.id]

    def of_result(self, message: ChatMessage) -> str | None:
        """Returns the id of the call that a message answers; None where that is not known. A result without an id, as of the older role
        "function", answers the first open call of its name.
        """
        call_id = message.tool_call_id or self._open_call(message.name)
        self._unanswered = [call for call in self._unanswered if call.id != call_id]
        return None if call_id is None else self._ids.get(call_id, _short(call_id) if self._form is IdForm.SHORT else call_id)

    def name_of(self, message: ChatMessage) -> str | None:
        """Returns the name of the function whose result a message is. Is asked before ``of_result``."""
        return message.name or self._names.get(message.tool_call_id or self._open_call(None) or "")

    def _open_call(self, name: str | None) -> str | None:
        return next((call.id for call in self._unanswered if name is None or call.name == name), None)

    def _made(self, call: ToolCall) -> str:
        match self._form:
            case IdForm.ANY:
                return call.id
            case IdForm.SHORT:
                return _short(call.id)
            case IdForm.FUNCTION:
                known = _FUNCTION.fullmatch(call.id)
                return call.id if known and known[1] == call.name else f"functions.{call.name}:{self._count}"


def _short(call_id: str) -> str:
    """Returns nine letters and digits that stand for an id: always the same, and others for another one."""
    if _SHORT.fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode(errors="surrogatepass")).digest()[:8], "big")
    letters = ""
    for _ in range(9):
        number, digit = divmod(number, len(_LETTERS))
        letters += _LETTERS[digit]
    return letters
