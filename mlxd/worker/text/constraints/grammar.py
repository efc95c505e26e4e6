"""Grammars in llguidance's dialect of Lark, put together from what requests ask for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlxd.worker.text.constraints.vocabulary import quoted

# White space in JSON, once at most in each place: a space, or a new line with its indentation.
_SPACE = r"(?: |\n[ \t]{0,32})"
_OPTIONS = {"whitespace_pattern": _SPACE}


@dataclass(frozen=True)
class Rule:
    """An expression of a grammar, with the rules it needs beside it. ``others`` are whole grammars of a client's, by name, which "@NAME"
    in it means.
    """

    expression: str
    rules: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


def json_rule(schema: Mapping[str, Any]) -> Rule:
    """Returns the rule of JSON that is valid against a schema."""
    return Rule(f"%json {json.dumps({'x-guidance': _OPTIONS, **schema}, ensure_ascii=False)}")


def text_rule(text: str) -> Rule:
    """Returns the rule of one text of a client's."""
    return Rule(quoted(text))


def composed(expression: str, *parts: Rule, **rules: str) -> Rule:
    """Returns a rule of others: ``expression`` is what they make together, and ``rules`` are its own beside theirs."""
    own, others = dict(rules), dict[str, str]()
    for part in parts:
        own |= part.rules
        others |= part.others
    return Rule(expression, own, others)


def grammar_text(rule: Rule, *, is_forcing: bool = True) -> str:
    """Returns the grammar whose start is ``rule``. Without ``is_forcing`` a text that has only one way to go on may be cut into tokens in
    any way, which texts need that the vocabulary does not keep: the library would force tokens of another text, and then refuse them.
    """
    options = "" if is_forcing else '%llguidance {"no_forcing": true}\n'
    lines = [f"start: {rule.expression}", *(f"{name}: {body}" for name, body in rule.rules.items())]
    lark = options + "\n".join(lines) + "\n"
    if not rule.others:
        return lark
    others = [{"name": name, "lark_grammar": options + text} for name, text in rule.others.items()]
    return json.dumps({"grammars": [{"name": "answer", "lark_grammar": lark}, *others]}, ensure_ascii=False)
