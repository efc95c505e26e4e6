"""Values that are written without quotes, between tags: which texts are the values that a schema allows, as their parser reads them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llguidance import regex_to_lark

from mlxd.worker.text.constraints import keywords
from mlxd.worker.text.constraints.grammar import Rule, composed, json_rule
from mlxd.worker.text.constraints.json_schema import ReadSchema
from mlxd.worker.text.constraints.vocabulary import Vocabulary, quoted, without
from mlxd.worker.text.parsers.schema_kinds import STRING, Kinds

_ANY = "/(?s:.*)/"
_PLAIN = r"/(?:[^\s\d+\-.({\[](?s:.*))?/"  # begins as no number and no container does
_WORDS = frozenset({"null", "boolean"})  # whose values a parser finds in a text, too, where they are allowed
_DEEPEST = 8
_ESCAPED, _SET, _GROUP = re.compile(r"\\."), re.compile(r"\[[^\]]+\]"), re.compile(r"\([^()]*\)")
_ANCHOR = re.compile(r"[\^$]")


class InexpressibleError(Exception):
    """A schema whose values cannot be told apart in the form of this model; the message says why."""


@dataclass(frozen=True)
class RawValue:
    """A writer of rules of values. A value stands before ``closes``, where ``frame`` is white space that is not its own; the texts of
    ``forbidden`` would confuse the parser inside a string. Where the form tells strings from other values, ``opens`` is the expression of
    what stands before them, and ``json_opens`` of what stands before the others, which have nothing around them where it is empty.
    """

    vocabulary: Vocabulary
    closes: str
    frame: str = ""
    opens: str = ""
    json_opens: str = ""
    forbidden: tuple[str, ...] = ()

    def rule(self, schema: Any, read: ReadSchema, kinds: Kinds, name: str) -> Rule:
        """Returns the rule of a value and what closes it. ``kinds`` are what the parser takes it for; ``name`` is free in the grammar.

        Raises ``InexpressibleError``.
        """
        options = [*_options(schema, read, 0)]
        kinds = STRING if self.opens else kinds
        parts = [self._strings(option, kinds, f"{name}_{number}") for number, option in enumerate(options)]
        parts += [self._others(option, read) for option in options]
        found = [part for part in parts if part is not None]
        if not found:
            raise InexpressibleError("none of its values can be written")
        return composed(" | ".join(part.expression for part in found), *found)

    # ---- strings ----

    def _strings(self, schema: Mapping[str, Any], kinds: Kinds, name: str) -> Rule | None:
        if "const" in schema or "enum" in schema:
            return self._listed([schema["const"]] if "const" in schema else schema["enum"], kinds)
        if "string" not in _types(schema):
            return None
        parts = [_ANY if kinds <= STRING else _PLAIN, *_lengths(schema), *_searched(schema)]
        is_bounded = len(parts) > 1
        marked = self.vocabulary.marked(self.closes)
        parts += map(without, (*self.forbidden, self.closes) if marked or is_bounded else self.forbidden)
        body, end = f"({' & '.join(parts)})", f"{quoted(self.frame)} " if self.frame and is_bounded else ""
        if marked:
            before, rest = marked[0], self.vocabulary.written(self.closes.removeprefix(marked[0]))
            return Rule(f"{self.opens} {name.upper()} {rest}", {name.upper(): f"{body} {end}{quoted(before) if before else ''}"})
        return Rule(f"{self.opens} {name}", {name.upper(): f"{body} {end}{quoted(self.closes)}", f"{name}[lazy]": name.upper()})

    def _listed(self, values: list[Any], kinds: Kinds) -> Rule | None:
        texts = [value for value in values if isinstance(value, str) and self._is_read(value, kinds)]
        if not texts:
            return None
        listed = " | ".join(quoted(text + self.frame) for text in texts)
        return Rule(f"{self.opens} ({listed}) {self.vocabulary.written(self.closes)}")

    def _is_read(self, text: str, kinds: Kinds) -> bool:
        """Tells whether the parser reads a text as this string."""
        if any(one in text for one in (self.closes, *self.forbidden)) or (self.frame == "" and text != text.strip() and kinds - STRING):
            return False
        return kinds <= STRING or re.fullmatch(r"[^\s\d+\-.({\[](?s:.*)|", text) is not None

    # ---- what is JSON ----

    def _others(self, schema: Mapping[str, Any], read: ReadSchema) -> Rule | None:
        """Returns the rule of those values that are written as JSON. Words are texts already, where any text is, and has no marks."""
        types = _types(schema)
        if "const" in schema or "enum" in schema:
            values = [value for value in ([schema["const"]] if "const" in schema else schema["enum"]) if not isinstance(value, str)]
            return self._json({"enum": values}, read) if values else None
        is_any_text = "string" in types and not self.opens and not schema.keys() & {"pattern", "minLength", "maxLength"}
        others = [one for one in types if one != "string" and not (is_any_text and one in _WORDS)]
        return self._json({**schema, "type": others}, read) if others else None

    def _json(self, schema: Mapping[str, Any], read: ReadSchema) -> Rule:
        rule = json_rule(read.standing_alone(schema))
        closes = "" if self.opens and not self.json_opens else self.vocabulary.written(self.frame + self.closes)
        return composed(f"{self.json_opens} {rule.expression} {closes}", rule)


def _options(schema: Any, read: ReadSchema, depth: int) -> Iterator[dict[str, Any]]:
    """Yields the schemas that any value is valid against one of, with their references followed."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        raise InexpressibleError("it has no values, or refers to itself")
    asking = schema.keys() & (keywords.ASKING | {"type"})
    if asking == {"$ref"}:
        yield from _options(read.standing_alone()["$defs"].get(schema["$ref"].removeprefix("#/$defs/")), read, depth + 1)
    elif asking in ({"anyOf"}, {"allOf"}) and len(schema.get("allOf", ())) < 2:
        for option in schema.get("anyOf") or schema["allOf"]:
            if option is not False:
                yield from _options(option, read, depth + 1)
    elif asking & {"$ref", "anyOf", "allOf", "oneOf"}:
        raise InexpressibleError("it is put together from several schemas")
    else:
        yield schema


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [one for one in keywords.TYPES if one != "integer"])
    return types if isinstance(types, list) else [types]


def _lengths(schema: Mapping[str, Any]) -> Iterator[str]:
    if "minLength" in schema or "maxLength" in schema:
        yield f"/(?s:.{{{schema.get('minLength', 0)},{schema.get('maxLength', '')}}})/"


def _searched(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yields the expression of texts in which a pattern is found. Formats are annotations."""
    if "pattern" not in schema:
        return
    pattern: str = schema["pattern"]
    before, behind = pattern.startswith("^"), re.search(r"(?<!\\)(?:\\\\)*\$$", pattern) is not None
    core = pattern[1 if before else 0 : -1 if behind else None]
    bare = _SET.sub("", _ESCAPED.sub("", core))
    while (inner := _GROUP.sub("", bare)) != bare:
        if _ANCHOR.search(bare):
            break
        bare = inner
    if _ANCHOR.search(bare) or ((before or behind) and "|" in bare):
        raise InexpressibleError("its pattern has anchors inside")
    yield " ".join(["" if before else _ANY, f"/{regex_to_lark(f'(?:{core})', 'dw')}/", "" if behind else _ANY]).strip()
