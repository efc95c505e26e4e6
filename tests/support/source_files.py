"""What the sources define, import and say of themselves, read once for all tests that ask."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class SourceFile:
    """Of one file: its functions with the lines from their first statement to their last, docstring aside; the docstrings of functions and
    classes with their lines; every absolute name that is imported anywhere; and the names that it defines or imports at its top.
    """

    functions: tuple[tuple[str, int], ...]
    docstrings: tuple[tuple[int, str], ...]
    imports: tuple[str, ...]
    defined: frozenset[str]


@cache
def source_file(path: Path) -> SourceFile:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = tuple(_statements(tree))
    documented = [(node.lineno, ast.get_docstring(node)) for node in found if isinstance(node, _Function | ast.ClassDef)]
    return SourceFile(
        functions=tuple((node.name, _length(node)) for node in found if isinstance(node, _Function)),
        docstrings=tuple((line, text) for line, text in documented if text is not None),
        imports=tuple(name for node in found for name in _imported(node, path)),
        defined=frozenset(name for node in tree.body for name in _defined(node)),
    )


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yields what is stated anywhere; not the expressions, which are nine tenths of a tree."""
    for name in _BODIES:
        for inner in getattr(node, name, ()):
            yield inner
            yield from _statements(inner)


def _length(function: _Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _imported(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{path}: relative import"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _defined(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.ImportFrom(names=names):
            yield from (alias.name for alias in names)
