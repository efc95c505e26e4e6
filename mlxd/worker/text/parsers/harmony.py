"""The parser of gpt-oss's output, OpenAI's harmony format (github.com/openai/harmony).

An answer is messages, ``<|start|>ROLE<|channel|>CHANNEL<|constrain|>TYPE<|message|>BODY<|end|>``; the first ``<|start|>assistant`` is
in the prompt. Markers are control tokens.
"""

import re
from enum import Enum

from typing_extensions import override

from mlxd.wire.parts import Reasoning, text_parts
from mlxd.worker.text.parsers.parser import Hidden, OutputParser, Parsed

MARKERS = frozenset({"<|start|>", "<|channel|>", "<|message|>", "<|end|>"})

_MESSAGE = "<|message|>"
_ENDS = frozenset({"<|end|>", "<|return|>", "<|call|>"})
_LONGEST_HEADER = 256  # characters; more is not a header that lacks its end, but an answer that lacks its markers
_HEADER = {  # what may stand in each place of a header
    "<|start|>": re.compile(r"\s*(assistant|user|system|developer|tool)?(\s*to=\S*)?\s*"),
    "<|channel|>": re.compile(r"\s*(analysis|commentary|final)?(\s*to=\S*)?\s*(code|json)?\s*"),
    "<|constrain|>": re.compile(r"\s*\S*\s*"),
}
_WORDS = ("assistant", "user", "system", "developer", "tool", "analysis", "commentary", "final")


class _Place(Enum):
    HEADER = "header"
    BODY = "body"


class HarmonyParser(OutputParser):
    """A parser for which the channel "analysis" is reasoning and all others are content. Headers are never shown; text that stands where a
    header should be and is none is content: what is malformed is not lost.
    """

    begins = frozenset({"<|start|>"})
    warnings = ()

    def __init__(self) -> None:
        self._place = _Place.BODY
        self._channel = ""
        self._after = "<|start|>"  # the marker in the header that the text follows
        self._held = ""

    @override
    def push(self, text: str) -> list[Parsed]:
        if self._place is _Place.BODY:
            return self._body(text)
        self._held += text
        return self._give_up() if len(self._held) > _LONGEST_HEADER else []

    @override
    def control(self, token: str) -> list[Parsed]:
        if token == _MESSAGE:
            return [*self._header_ends(), Hidden(token)]
        if token in _HEADER:
            return [*self._header_goes_on(token), Hidden(token)]
        if token in _ENDS:
            return [*self._message_ends(), Hidden(token)]
        return [Hidden(token)]

    @override
    def finish(self) -> list[Parsed]:
        return self._give_up()

    def _body(self, text: str) -> list[Parsed]:
        if self._channel == "analysis":
            return [Reasoning(text=text)] if text else []
        return [*text_parts(text)]

    def _header_goes_on(self, marker: str) -> list[Parsed]:
        shown = self._give_up() if marker == "<|start|>" else self._read_header()
        self._place, self._after, self._held = _Place.HEADER, marker, ""
        if marker == "<|start|>":
            self._channel = ""
        return shown

    def _header_ends(self) -> list[Parsed]:
        shown = self._read_header()
        self._place = _Place.BODY
        return shown

    def _message_ends(self) -> list[Parsed]:
        shown = self._give_up()
        self._channel = ""
        return shown

    def _read_header(self) -> list[Parsed]:
        """Reads the header's text so far, which tells the channel, and lets stop strings see it."""
        text, self._held = self._held, ""
        if self._place is _Place.BODY:
            return []
        if self._after == "<|channel|>":
            self._channel = next(iter(text.split()), "")
        return [Hidden(text)] if text else []

    def _give_up(self) -> list[Parsed]:
        """Gives up a header that has no end: what of it belongs to no header is the answer."""
        text, self._held = self._held, ""
        if self._place is _Place.BODY:
            return []
        self._place = _Place.BODY
        found = _HEADER[self._after].match(text)
        size = found.end() if found else 0
        if self._after == "<|channel|>" and found:
            self._channel = found[1] or ""
        rest = text[size:]
        cut_off = any(word.startswith(rest) for word in _WORDS)
        header: list[Parsed] = [Hidden(text[:size])] if size else []
        return [*header, *([] if cut_off else self._body(rest))]
