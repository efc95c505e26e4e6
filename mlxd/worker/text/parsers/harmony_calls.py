"""A call of gpt-oss: the body of a message that is sent to a function."""

import re

from mlxd.wire.parts import text_parts
from mlxd.worker.text.parsers.calls import Calls
from mlxd.worker.text.parsers.json_scanner import JsonScanner
from mlxd.worker.text.parsers.parser import Parsed

_RECIPIENT = re.compile(r"to=([^\s<]+)")
_NAMESPACES = ("functions.", "functions:", "function.", "tools.")
_NOT_OF_A_NAME = re.compile(r"[^\w.\-].*", re.DOTALL)
_STUCK = ("analysis", "commentary", "final", "json", "code")  # what follows a recipient, and sticks to it where its space was forgotten
_NOBODY = frozenset({"assistant", "user", "all"})


def recipient_of(*headers: str) -> str | None:
    """Returns whom a message is sent to, as its header says; None where that is nobody."""
    found = next((match[1] for header in headers if (match := _RECIPIENT.search(header))), None)
    return None if found in _NOBODY else found


def function_of(recipient: str, calls: Calls) -> str | None:
    """Returns which of the offered functions a recipient is; None where it is none of them."""
    bare = recipient
    for namespace in _NAMESPACES:
        bare = bare.removeprefix(namespace)
    clean = _NOT_OF_A_NAME.sub("", bare)
    unstuck = [clean.removesuffix(word) for word in _STUCK] + [clean.removeprefix(word).lstrip(".") for word in _STUCK]
    return next((name for name in (recipient, bare, clean, *unstuck) if calls.tool(name)), None)


class HarmonyCall:
    """A call whose arguments come as a JSON object. It is told once they begin to be one, and then streams; a body that is none is content,
    with a warning.
    """

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name
        self._scanner = JsonScanner()
        self._written = ""  # as the model wrote it, until the call is told
        self._ready = ""  # JSON that is not told
        self._behind = ""  # white space behind the arguments
        self._is_followed = False  # by text that is content
        self._is_told = False
        self._is_refused = False
        self.warnings: list[str] = []

    def push(self, text: str) -> list[Parsed]:
        """Returns what ``text`` adds."""
        if self._is_refused:
            return [*text_parts(text)]
        if self._is_told:
            return self._more(text)
        self._written += text
        size, ready = self._scanner.push(text)
        self._ready += ready
        begun = self._ready.lstrip()
        if begun[:1] not in {"", "{"} or (self._scanner.is_broken and not begun[1:].strip()):
            return self._refuse("its arguments are no JSON object")
        if not begun[1:].strip():
            return []
        return [*self._begin(begun), *self._rest(text[size:])]

    def end(self) -> list[Parsed]:
        """Returns what the end of the message adds. A body without text is a call without arguments."""
        if self._is_refused:
            return []
        if not self._is_told:
            return self._refuse("its arguments are no JSON object") if self._written.strip() else self._begin("{}")
        if not self._scanner.is_done and not self._scanner.is_broken:
            self._warn_of_arguments("they end before they are whole")
        return []

    def cut_off(self) -> list[Parsed]:
        """Returns what the end of the answer adds, where the message has none."""
        if self._is_told or self._is_refused:
            return self.end()
        self.warnings.append(f"a call of {self._name!r} was cut off before its arguments")
        return [*text_parts(self._written)]

    def _begin(self, arguments: str) -> list[Parsed]:
        self._is_told = True
        return [self._calls.begin(self._name), self._calls.arguments(arguments)]

    def _more(self, text: str) -> list[Parsed]:
        size, ready = (0, "") if self._scanner.is_done or self._scanner.is_broken else self._scanner.push(text)
        return [*([self._calls.arguments(ready)] if ready else []), *self._rest(text[size:])]

    def _rest(self, text: str) -> list[Parsed]:
        """Returns text behind arguments that are whole, or no longer JSON."""
        if self._scanner.is_done:
            self._behind += text
            self._is_followed |= bool(self._behind.strip())
            return self._take_behind() if self._is_followed else []
        if self._scanner.is_broken:
            self._warn_of_arguments("they are malformed")
            return [self._calls.arguments(text)] if text else []
        return []

    def _take_behind(self) -> list[Parsed]:
        """Returns what stands behind the arguments, which is content."""
        behind, self._behind = self._behind, ""
        return [*text_parts(behind)]

    def _refuse(self, reason: str) -> list[Parsed]:
        self._is_refused = True
        self.warnings.append(f"a tool call of the answer could not be read and is content: {reason}")
        return [*text_parts(self._written)]

    def _warn_of_arguments(self, reason: str) -> None:
        warning = f"the arguments of the call of {self._name!r} are not valid JSON: {reason}"
        if warning not in self.warnings:
            self.warnings.append(warning)
