"""The dialect of Jinja that chat templates are written in, as transformers defines it, with bounds on what a template may take.

A template comes with a model, so it is sandboxed; and it meets messages of clients, so it must not run for ever on any of them. Loops
and macros report to a ``Budget`` each time they go round, ``range`` ends at 100,000, and products and powers are bounded.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Environment, Template, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer
from typing_extensions import override

_TICK = "_mlxd_tick"
_LOOK_EVERY = 64  # ticks
_LONGEST = 50_000_000  # elements of a repeated string or list
_LARGEST = 2.0**64  # of a power
_ESCAPED_MARK = re.compile(r"(?<!\\)((?:\\\\)*)\\u(fdd[01])")  # of ``framed_tokenizer``, as JSON in ASCII writes it
_METHODS = frozenset(name for name in dir(dict) if not name.startswith("_"))


class TemplateLimitError(Exception):
    """A template took more than it may."""


class Budget:
    """What one rendering may take. Seconds are of the thread's processor time: a busy machine makes no template slower."""

    def __init__(self, *, seconds: float, characters: int) -> None:
        self._seconds = seconds
        self._characters = characters
        self._until = time.thread_time() + seconds
        self._ticks = 0

    def tick(self) -> None:
        """Counts each round of each loop, and each call of a macro. Raises ``TemplateLimitError``."""
        self._ticks += 1
        if self._ticks % _LOOK_EVERY == 0 and time.thread_time() > self._until:
            raise TemplateLimitError(f"it takes more than {self._seconds:g} seconds")

    def passed(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yields the same pieces of text. Raises ``TemplateLimitError`` where they are too long together."""
        left = self._characters
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                raise TemplateLimitError(f"it writes more than {self._characters} characters")
            yield piece

    @property
    def variables(self) -> dict[str, Any]:
        """Returns what the template needs among its variables, to report here."""
        return {_TICK: self.tick}


@dataclass(frozen=True)
class CompiledTemplate:
    """A template, and the names of the variables that it reads and does not set itself."""

    template: Template
    reads: frozenset[str]


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """An environment that compiles chat templates."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        self.filters["tojson"] = _to_json
        self.globals |= {"raise_exception": _refuse, "strftime_now": _now, "namespace": _Namespace}

    def compiled(self, text: str) -> CompiledTemplate:
        """Returns a template that reports to its budget. Raises what Jinja raises for one that cannot be compiled."""
        tree = self.parse(text)
        reads = frozenset(find_undeclared_variables(tree) - self.globals.keys())
        return CompiledTemplate(self.from_string(self._bounded(tree)), reads)

    def _bounded(self, parsed: nodes.Template) -> nodes.Template:
        tree: nodes.Template = _KeysBeforeMethods(self).visit(parsed)
        for node in tree.find_all(nodes.Stmt):
            if isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock):
                node.body.insert(0, self._tick(node.lineno))
        return tree

    def _tick(self, line: int) -> nodes.Node:
        call = nodes.Call(nodes.Name(_TICK, "load"), [], [], None, None)
        return nodes.ExprStmt(call).set_lineno(line).set_environment(self)

    @override
    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, dict) and isinstance(argument, str) and argument in _METHODS and argument not in obj:
            return self.undefined(obj=obj, name=argument)  # not the method, which Jinja would fall back to
        return super().getitem(obj, argument)

    @override
    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return _power(left, right) if operator == "**" else _product(left, right)


def _power(left: Any, right: Any) -> Any:
    try:
        is_too_large = abs(float(left)) ** float(right) > _LARGEST
    except OverflowError:
        is_too_large = True
    if is_too_large:
        raise TemplateLimitError("it computes a number that is too large")
    return left**right


def _product(left: Any, right: Any) -> Any:
    for many, count in ((left, right), (right, left)):
        if isinstance(many, str | list | tuple) and isinstance(count, int) and len(many) * count > _LONGEST:
            raise TemplateLimitError(f"it repeats a text or a list beyond {_LONGEST} elements")
    return left * right


class _KeysBeforeMethods(NodeTransformer):
    """Makes ``schema.items`` read a key, unless it is called: a property may have the name of a method."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._called: set[int] = set()

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - named by Jinja
        self._called.add(id(node.node))
        return self.generic_visit(node)

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802 - named by Jinja
        self.generic_visit(node)
        if id(node) in self._called or node.attr not in _METHODS:
            return node
        return nodes.Getitem(node.node, nodes.Const(node.attr), node.ctx).set_lineno(node.lineno).set_environment(self._environment)


class _Generation(Extension):
    """The tag ``{% generation %}``, which marks what the assistant says, for training; here it is only what it encloses."""

    tags = {"generation"}  # noqa: RUF012 - as the base class has it

    @override
    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)


class _Namespace(Namespace):
    """Jinja's namespace, without the names that lead out of the sandbox."""

    @override
    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise SecurityError(f"chat templates cannot store {name!r} in a namespace")
        super().__setitem__(name, value)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False) -> str:  # noqa: FBT001, FBT002 - called by templates
    """Writes JSON without Jinja's own escapes for HTML."""
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return _ESCAPED_MARK.sub(lambda found: found[1] + chr(int(found[2], 16)), text) if ensure_ascii else text


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
