"""Where a model's chat template is: several forms are in use, and the first that is there counts.

::

    chat_template.jinja                        the file itself
    tokenizer_config.json "chat_template"      a string, or a list of {"name", "template"}: "default" of them
    chat_template.json "chat_template"         the same; before the tokenizer's where the model sees, for it is the processor's
    processor_config.json "chat_template"      likewise
    additional_chat_templates/NAME.jinja       others, of which none takes the place of those above

A model that has no default but exactly one named template uses that one. One named "tool_use" is for conversations with tools.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlxd.worker.facts.json_document import JsonDocument, is_there, read_text
from mlxd.worker.facts.sources import Sources

_DEFAULT = "default"
_FOR_TOOLS = "tool_use"
_FILE = "chat_template.jinja"
_OF_PROCESSORS = ("chat_template.json", "processor_config.json")
_FOLDER = "additional_chat_templates"


@dataclass(frozen=True)
class TemplateSource:
    """A template's text, and where it was read."""

    text: str
    origin: str


@dataclass(frozen=True)
class FoundTemplates:
    """The templates that were found. Where ``chosen`` is None, the model cannot chat; ``warning`` says why, where that is not for want of a
    template. ``for_tools`` is the one for conversations with tools, where that is another one.
    """

    chosen: TemplateSource | None
    named: tuple[str, ...] = ()  # the others
    warning: str | None = None
    for_tools: TemplateSource | None = None


def find_chat_template(sources: Sources) -> FoundTemplates:
    """Returns the templates of a model. Raises ``ModelSourceError`` that names a template which is none."""
    found: dict[str, TemplateSource] = {}
    for name, source in _all(sources):
        found.setdefault(name, source)
    found = {name: source for name, source in found.items() if source.text.strip()}
    if _DEFAULT in found:
        return FoundTemplates(found.pop(_DEFAULT), tuple(found), for_tools=found.get(_FOR_TOOLS))
    if len(found) == 1:
        (only,) = found.values()
        return FoundTemplates(only)
    if found:
        names = ", ".join(sorted(found))
        return FoundTemplates(None, tuple(found), f"the model has the chat templates {names}, and none is the default: it cannot chat")
    return FoundTemplates(None)


def _all(sources: Sources) -> Iterator[tuple[str, TemplateSource]]:
    """Yields every template with its name; the first of a name counts."""
    path = sources.directory / _FILE
    if is_there(path):
        yield _DEFAULT, TemplateSource(read_text(path), _FILE)
    processors = [JsonDocument.read_if_there(sources.directory / name) for name in _OF_PROCESSORS]
    sees = isinstance(sources.config.get("vision_config"), dict)
    for document in (*processors, sources.tokenizer) if sees else (sources.tokenizer, *processors):
        yield from _of_document(document)
    for path in sorted((sources.directory / _FOLDER).glob("*.jinja")):
        yield path.stem, TemplateSource(read_text(path), f"{_FOLDER}/{path.name}")


def _of_document(document: JsonDocument) -> Iterator[tuple[str, TemplateSource]]:
    match document.get("chat_template"):
        case None:
            return
        case str(text):
            yield _DEFAULT, TemplateSource(text, document.origin("chat_template"))
        case [*entries]:
            for entry in entries:
                yield _named(document, entry)
        case dict() as named:
            for name, text in named.items():
                yield _named(document, {"name": name, "template": text})
        case _:
            raise document.wrong("chat_template", "a string, or a list of objects with name and template")


def _named(document: JsonDocument, entry: Any) -> tuple[str, TemplateSource]:
    match entry:
        case Mapping() as pair if isinstance(name := pair.get("name"), str) and isinstance(text := pair.get("template"), str):
            return name, TemplateSource(text, f"{document.origin('chat_template')}, {name}")
    raise document.wrong("chat_template", "a string, or a list of objects with name and template")
