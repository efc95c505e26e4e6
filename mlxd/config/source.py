"""Where a model comes from: ``builtin:NAME``, ``org/name[@revision]`` or a local path."""

import re
from typing import Annotated

from pydantic import AfterValidator

_BUILTIN = re.compile(r"builtin:[a-z0-9.-]+")
_HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+(@[\w./-]+)?")


def is_local(source: str) -> bool:
    """A path: absolute, or beginning with ``./``, ``../`` or ``~``."""
    return source.startswith(("/", "./", "../", "~"))


def _check_source(value: str) -> str:
    if is_local(value) or _BUILTIN.fullmatch(value) or _HUB.fullmatch(value):
        return value
    raise ValueError('expected "org/name[@revision]", a path beginning with "/", "./", "../" or "~", or "builtin:smollm2-135m"')


Source = Annotated[str, AfterValidator(_check_source)]
