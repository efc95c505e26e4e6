"""The parser of gpt-oss's output, OpenAI's harmony format (github.com/openai/harmony).

An answer is messages, ``<|start|>ROLE<|channel|>CHANNEL<|constrain|>TYPE<|message|>BODY<|end|>``; the first ``<|start|>assistant`` is
in the prompt. Markers are control tokens; in an answer that has none of these, as of a converted model, they are their spelling. A message
to ``functions.NAME``, which role or channel may say, calls that function.
"""

import re
from collections.abc import Sequence
from enum import Enum

from typing_extensions import override

from mlxd.wire.output_spec import ToolRules
from mlxd.wire.parts import Reasoning, text_parts
from mlxd.worker.text.parsers.calls import Calls
from mlxd.worker.text.parsers.harmony_calls import HarmonyCall, function_of, recipient_of
from mlxd.worker.text.parsers.parser import Header, Hidden, Marker, OutputParser, Parsed
from mlxd.worker.text.parsers.source import Source

MARKERS = frozenset({"<|start|>", "<|channel|>", "<|message|>", "<|end|>"})

_MESSAGE = "<|message|>"
_ENDS = frozenset({"<|end|>", "<|return|>", "<|call|>"})
_LONGEST_HEADER = 256  # characters; more is not a header that lacks its end, but an answer that lacks its markers
_HEADER = {  # what may stand in each place of a header
    "<|start|>": re.compile(r"\s*(assistant|user|system|developer|tool)?(\s*to=\S*)?\s*"),
    "<|channel|>": re.compile(r"\s*(analysis|commentary|final)?(\s*to=\S*)?\s*(code|json)?\s*"),
    "<|constrain|>": re.compile(r"\s*\S*\s*"),
}
_MARKERS = frozenset({_MESSAGE, *_HEADER, *_ENDS})
_WORDS = ("assistant", "user", "system", "developer", "tool", "analysis", "commentary", "final")


class _Place(Enum):
    HEADER = "header"
    BODY = "body"


class HarmonyParser(OutputParser):
    """A parser for which the channel "analysis" is reasoning and all others are content. Headers are never shown; text that stands where a
    header should be and is none is content: what is malformed is not lost. A message to a function that was not offered is content, too.

    Without ``rules`` nothing is a call.
    """

    begins = frozenset({"<|start|>"})

    def __init__(self, rules: ToolRules | None = None) -> None:
        self._calls = None if rules is None else Calls(rules)
        self._call: HarmonyCall | None = None  # whose arguments the body is
        self._place = _Place.HEADER
        self._channel = ""
        self._after = "<|start|>"  # the marker in the header that the text follows
        self._header: list[str] = []  # its texts that were read
        self._held = ""
        self._warnings: list[str] = []
        self._source = Source()
        self._has_controls = False  # markers are control tokens, and their spelling is text

    @property
    @override
    def warnings(self) -> Sequence[str]:
        return [*self._warnings, *(self._call.warnings if self._call else ())]

    @override
    def push(self, text: str) -> list[Parsed]:
        self._source.feed(text)
        return self._read_text()

    def _read_text(self) -> list[Parsed]:
        """Reads the text that has come, with the markers that it spells out."""
        read: list[Parsed] = []
        while found := None if self._has_controls else self._source.find(_MARKERS):
            read += [*self._text(self._source.read(found.at)), *self._marker(self._source.read(len(found.marker)))]
        size = len(self._source.text) if self._has_controls else self._source.sure(_MARKERS)
        read += self._text(self._source.read(size))
        self._source.release()
        return read

    def _text(self, text: str) -> list[Parsed]:
        if self._place is _Place.BODY:
            return self._body(text)
        self._held += text
        return self._give_up() if len(self._held) > _LONGEST_HEADER else []

    @override
    def control(self, token: str) -> list[Parsed]:
        self._source.is_settled = True
        read = self._read_text()
        self._source.is_settled = False
        self._has_controls |= token in _MARKERS
        return [*read, *self._marker(token)]

    def _marker(self, token: str) -> list[Parsed]:
        if token == _MESSAGE:
            return [*self._header_ends(), Marker(token)]
        if token in _HEADER:
            return [*self._header_goes_on(token), Marker(token)]
        if token in _ENDS:
            return [*self._message_ends(), Marker(token)]
        return [Hidden(token)]

    @override
    def finish(self) -> list[Parsed]:
        self._source.is_ended = True
        return [*self._read_text(), *self._give_up(), *self._end_call(self._call.cut_off() if self._call else [])]

    def _body(self, text: str) -> list[Parsed]:
        if self._call is not None:
            return self._call.push(text)
        if self._channel == "analysis":
            return [Reasoning(text=text)] if text else []
        return [*text_parts(text)]

    def _header_goes_on(self, marker: str) -> list[Parsed]:
        ended = self._end_call(self._call.end() if self._call else [])
        shown = self._give_up() if marker == "<|start|>" else self._read_header()
        self._place, self._after, self._held = _Place.HEADER, marker, ""
        if marker == "<|start|>":
            self._channel = ""
            self._header = []
        return [*ended, *shown]

    def _header_ends(self) -> list[Parsed]:
        ended = self._end_call(self._call.end() if self._call else [])
        shown = self._read_header()
        self._place = _Place.BODY
        self._call = self._addressed()
        self._header = []
        return [*ended, *shown]

    def _message_ends(self) -> list[Parsed]:
        shown = self._give_up()
        ended = self._end_call(self._call.end() if self._call else [])
        self._channel = ""
        self._header = []
        return [*shown, *ended]

    # ---- calls ----

    def _addressed(self) -> HarmonyCall | None:
        """Returns the call that the message is whose header was read; None where it is none."""
        recipient = recipient_of(*self._header)
        if recipient is None or self._calls is None:
            return None
        name = function_of(recipient, self._calls)
        if name is not None and not self._calls.is_full:
            return HarmonyCall(self._calls, name)
        self._channel = ""  # whatever it is, it was not meant for nobody
        why = "is none of the request's tools" if name is None else "is called after another call, and the request allows one"
        self._warnings.append(f"a tool call of the answer could not be read and is content: {recipient!r} {why}")
        return None

    def _end_call(self, told: list[Parsed]) -> list[Parsed]:
        self._warnings = [*self.warnings]
        self._call = None
        return told

    # ---- headers ----

    def _read_header(self) -> list[Parsed]:
        """Reads the header's text so far, which tells channel and recipient, and lets stop strings see it."""
        text, self._held = self._held, ""
        if self._place is _Place.BODY:
            return []
        self._header.append(text)
        if self._after == "<|channel|>":
            found = _HEADER[self._after].match(text)
            self._channel = (found and found[1]) or next(iter(text.split()), "")
        return [Header(text)] if text else []

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
        header: list[Parsed] = [Header(text[:size])] if size else []
        return [*header, *([] if cut_off else self._body(rest))]
