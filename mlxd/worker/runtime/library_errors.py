"""The boundary to the libraries that load a model: what they raise becomes a ``ModelSourceError`` that names the file, and the key in
it where that can be told.
"""

import dataclasses
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from mlx_lm.utils import _get_classes

from mlxd.errors import MlxdError, ModelSourceError
from mlxd.worker.facts.json_document import JsonDocument, shown

_COUNTS = ("num_", "hidden", "head", "intermediate", "vocab", "_dim", "_size", "_rank", "theta", "eps")  # in names of what cannot be zero
_LARGEST = 2**40
_LONGEST = 300  # characters of a library's message
_NAMES = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", dict: "an object", list: "a list"}


@contextmanager
def library_errors(what: str, paths: tuple[Path, Path], causes: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turns what a library raises into a ``ModelSourceError``. ``what`` begins the message, and the ``causes`` that are seen follow.
    ``paths`` are a directory as the library saw it, and as the operator knows it.
    """
    try:
        yield
    except (MlxdError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of a library in Rust is no Exception
        said = _said(error).replace(str(paths[0]), str(paths[1]))
        seen = causes()
        raise ModelSourceError(f"{what}: {seen} ({said})" if seen else f"{what}: {said}") from error


def _said(error: BaseException) -> str:
    if isinstance(error, KeyError) and error.args:
        return f'there is no "{error.args[0]}"'
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message if len(message) <= _LONGEST else message[:_LONGEST] + '…'}"


def in_a_line(error: BaseException) -> str:
    """Returns the kind of an error and the first line of what it says: libraries of compilers say hundreds."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def configuration_causes(config: JsonDocument) -> str:
    """Tells what in ``config.json`` may be the cause of a failure; empty where nothing looks wrong."""
    found = suspects(config)
    return f"{config.path.name} has {', '.join(found[:3])}" if found else ""


def check_flags(config: JsonDocument) -> None:
    """Raises ``ModelSourceError`` that names a value which stands for true or false and is neither: Python takes the text "false" for
    true, and a model built so may answer nonsense without any error.
    """
    for part in _parts(config):
        for key, (expected, _) in (_fields(part) or _fields(config)).items():
            if _is_flag(expected) and isinstance(part.get(key), str | list | dict):
                raise part.wrong(key, _NAMES[bool])


def suspects(config: JsonDocument) -> list[str]:
    """Returns what looks wrong in a configuration with which a model could not be made: mlx-lm itself checks no types."""
    found = []
    for part in _parts(config):
        fields = _fields(part) or _fields(config)
        found += [*_of_wrong_type(part, fields), *_of_no_size(part)]
        if part is config:
            found += _missing(part, fields)
    return found


def _parts(config: JsonDocument) -> Iterator[JsonDocument]:
    yield config
    if (part := config.part("text_config")) is not None:
        yield part


def _fields(part: JsonDocument) -> dict[str, tuple[Any, bool]]:
    """Returns, of the class that mlx-lm reads the part with, each field's type, and whether it has to be there.

    It is empty for a type of model that mlx-lm does not know.
    """
    try:
        _, arguments = _get_classes(part.values)
        hints = get_type_hints(arguments)
        return {field.name: (hints[field.name], _is_required(field)) for field in dataclasses.fields(arguments)}
    except Exception:  # noqa: BLE001 - an unknown type of model: then there is nothing to compare with
        return {}


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _of_wrong_type(part: JsonDocument, fields: dict[str, tuple[Any, bool]]) -> Iterator[str]:
    for key, value in part.values.items():
        expected, _ = fields.get(key, (Any, False))
        if not _fits(value, expected):
            yield f'"{part.prefix}{key}": {shown(value)} instead of {_named(expected)}'


def _of_no_size(part: JsonDocument) -> Iterator[str]:
    """Yields what is not above zero where something is counted, and what is infinite, no number, or beyond all reason."""
    for key, value in part.values.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if (value <= 0 and any(name in key for name in _COUNTS) and not key.endswith("_id")) or not -_LARGEST < value < _LARGEST:
            yield f'"{part.prefix}{key}": {shown(value)}'


def _missing(part: JsonDocument, fields: dict[str, tuple[Any, bool]]) -> Iterator[str]:
    yield from (f'no "{key}"' for key, (_, required) in fields.items() if required and key not in part.values)


def _is_flag(expected: Any) -> bool:
    kinds = set(get_args(expected)) if get_origin(expected) in (Union, types.UnionType) else {expected}
    return bool in kinds and kinds <= {bool, type(None)}


def _fits(value: object, expected: Any) -> bool:
    origin = get_origin(expected)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(expected))
    kind = origin or expected
    if kind is type(None):
        return value is None
    if kind in (int, float):
        return isinstance(value, int | (float if kind is float else int)) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in _NAMES else True


def _named(expected: Any) -> str:
    kinds = get_args(expected) if get_origin(expected) in (Union, types.UnionType) else (expected,)
    names = [_NAMES[get_origin(kind) or kind] for kind in kinds if (get_origin(kind) or kind) in _NAMES]
    return " or ".join(names) or "something else"
