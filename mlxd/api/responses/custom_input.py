"""The input of a custom tool, read from the JSON that a model writes of it while it writes: ``{"input": "…"}``."""

import json
import re

_BEGIN = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_PLAIN = re.compile(r'[^"\\]+')
_ESCAPE = re.compile(r'\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|["\\/bfnrt])')
_HALF_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?")


class CustomInput:
    """A reader of pieces of JSON text. What is of another form than it should be is read as well as can be, once it is all there."""

    def __init__(self) -> None:
        self._text = ""  # that is not read yet
        self._is_inside = False
        self._is_over = False

    def push(self, text: str) -> str:
        """Returns what more of the input the piece says."""
        if self._is_over:
            return ""
        self._text += text
        if not self._is_inside:
            begun = _BEGIN.match(self._text)
            if begun is None:
                return ""
            self._is_inside, self._text = True, self._text[begun.end() :]
        return self._decoded()

    def finish(self) -> str:
        """Returns the rest of the input: all of it, where it was not begun as it should be; what cannot be read, as it is."""
        return "" if self._is_inside else _salvaged(self._text)  # half of an escape, of an input that was cut off, says nothing

    def _decoded(self) -> str:
        said: list[str] = []
        at = 0
        while at < len(self._text) and not self._is_over:
            if plain := _PLAIN.match(self._text, at):
                said.append(plain[0])
                at = plain.end()
            elif self._text[at] == '"':
                self._is_over = True
            elif _HALF_ESCAPE.fullmatch(self._text, at):
                break
            elif escape := _ESCAPE.match(self._text, at):
                said.append(_unescaped(escape[0]))
                at = escape.end()
            else:  # no escape of JSON's: the backslash means itself
                said.append("\\")
                at += 1
        self._text = self._text[at:]
        return "".join(said)


def _unescaped(escape: str) -> str:
    text: str = json.loads(f'"{escape}"')
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _salvaged(text: str) -> str:
    """Returns the input in arguments of another form: the only string of an object, or a string; else the arguments as they are."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(found, str):
        return found
    if isinstance(found, dict):
        texts = [found["input"]] if isinstance(found.get("input"), str) else [one for one in found.values() if isinstance(one, str)]
        if len(texts) == 1:
            return str(texts[0])
    return "" if found == {} else text
