"""Looking ahead in an answer, for readers of values."""

from mlxd.worker.text.parsers.script import Steps
from mlxd.worker.text.parsers.source import Source

SPACE = " \t\r\n"


class Cursor:
    """A place in a text that grows: the beginning of what of ``source`` is unread. What is read is held there."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def skip(self, size: int = 1) -> str:
        """Reads and returns the next ``size`` characters."""
        return self._source.read(size)

    def peek(self, size: int = 1, ahead: int = 0) -> Steps[str]:
        """Returns ``size`` characters, ``ahead`` characters from here; fewer at the end of the answer."""
        while len(self._source.text) < ahead + size and not self._source.is_ended:
            yield
        return self._source.text[ahead : ahead + size]

    def is_next(self, literal: str, ahead: int = 0) -> Steps[bool]:
        """Returns whether ``literal`` is there, ``ahead`` characters from here."""
        source = self._source
        while len(source.text) < ahead + len(literal) and literal.startswith(source.text[ahead:]) and not source.is_ended:
            yield
        return source.text.startswith(literal, ahead)

    def space(self, ahead: int = 0) -> Steps[int]:
        """Returns how many characters of white space there are, ``ahead`` characters from here."""
        size = 0
        while (next_one := (yield from self.peek(1, ahead + size))) and next_one in SPACE:
            size += 1
        return size

    def skip_space(self) -> Steps[str]:
        """Reads white space and returns the character behind it; nothing at the end of the answer."""
        self.skip((yield from self.space()))
        return (yield from self.peek())

    def until(self, ends: str, at_most: int) -> Steps[str]:
        """Reads and returns the text before the first of the characters ``ends``, and no more than so many characters."""
        size = 0
        while size < at_most and (next_one := (yield from self.peek(1, size))) and next_one not in ends:
            size += 1
        return self.skip(size)

    def run(self, ends: str) -> str:
        """Reads and returns what has come before the first of the characters ``ends``, without waiting."""
        text = self._source.text
        stops = [at for end in ends if (at := text.find(end)) >= 0]
        return self.skip(min(stops, default=len(text)))
