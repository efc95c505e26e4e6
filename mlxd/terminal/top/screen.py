"""The whole screen: which parts it has, and how many lines each gets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mlxd.terminal.status_table import notes
from mlxd.terminal.top import card
from mlxd.terminal.top.frame import Frame, Model
from mlxd.terminal.top.header import footer, header, help_lines
from mlxd.terminal.top.line import line
from mlxd.terminal.top.models import models_table
from mlxd.terminal.top.requests import requests_table
from mlxd.terminal.values import on_one_line

LEAST_WIDTH = 48  # below, numbers would have to be cut


@dataclass(frozen=True)
class Screen:
    """A frame that is drawn once it is known how large the terminal is."""

    frame: Frame

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield from compose(self.frame, options.max_width, options.height or options.max_height)


def compose(frame: Frame, width: int, height: int) -> list[Text]:
    """Returns at most ``height`` lines, of at most ``width`` characters each."""
    if width < LEAST_WIDTH:
        return [line(width, Text(text)) for text in (f"{width} columns are too few:", f"{LEAST_WIDTH} are needed")][:height]
    top, bottom = header(frame, width), [footer(frame, width)]
    room = height - len(top) - len(bottom)
    body = [Text(""), *help_lines(width)] if frame.view.shows_help else list(_body(frame, width, room))
    filled = [*body, *[Text("")] * (room - len(body))][: max(0, room)]
    return [*top, *filled, *bottom][:height]


@dataclass(frozen=True)
class Part:
    """A part of the screen has the lines it takes at least and at most, and how to draw it in between. An empty line goes before it."""

    least: int
    most: int
    draw: Callable[[int], list[Text]]


def distribute(parts: Sequence[Part], room: int) -> list[int]:
    """Returns the lines of each part, 0 for one that is left out. Parts that come first are admitted first, and grow first."""
    given = [0] * len(parts)
    for index, part in enumerate(parts):
        if part.most and part.least + 1 <= room:
            given[index], room = part.least, room - part.least - 1
    for index, part in enumerate(parts):
        if given[index]:
            more = min(part.most - given[index], room)
            given[index], room = given[index] + more, room - more
    return given


def _body(frame: Frame, width: int, room: int) -> Iterator[Text]:
    model = frame.chosen
    parts = [_models(frame, width)]
    if model is not None:
        parts = [*([] if frame.view.is_close else parts), _card(frame, model, width), _requests(frame, width)]
    parts.append(_notes(frame, width))
    for part, lines in zip(parts, distribute(parts, room), strict=True):
        if lines:
            yield Text("")
            yield from part.draw(lines)


def _models(frame: Frame, width: int) -> Part:
    count = max(1, len(frame.models))
    return Part(1 + min(3, count), 1 + count, lambda lines: models_table(frame, width, lines))


def _card(frame: Frame, model: Model, width: int) -> Part:
    least, most = card.heights(model)
    return Part(least, most, lambda lines: card.card(frame, model, width, lines))


def _requests(frame: Frame, width: int) -> Part:
    count = len(frame.requests or ())
    most = 1 + count if count else 1
    return Part(min(3, most), most, lambda lines: requests_table(frame, width, lines))


def _notes(frame: Frame, width: int) -> Part:
    found = notes(frame.status)
    texts = [line(width, Text.assemble((f"{on_one_line(one.about)}: ", one.style), on_one_line(one.message))) for one in found]
    return Part(min(2, len(texts)), len(texts), lambda lines: texts[:lines])
