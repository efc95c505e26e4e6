"""Where a model comes from: ``builtin:NAME``, ``org/name[@revision]`` or a local path."""

import re
from typing import Annotated

from pydantic import AfterValidator

BUILTIN_MODELS = ("smollm2-135m",)

_HUB = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*/[A-Za-z0-9_-][A-Za-z0-9_.-]*(@[A-Za-z0-9_.-][A-Za-z0-9_./-]*)?")


def is_local(source: str) -> bool:
    """Tells whether a source is a path: absolute, or beginning with ``./``, ``../`` or ``~``."""
    return source.startswith(("/", "./", "../", "~")) or source in {".", ".."}


def _check_source(value: str) -> str:
    if value.startswith("builtin:"):
        if value.removeprefix("builtin:") not in BUILTIN_MODELS:
            raise ValueError("must name a built-in model: " + " or ".join(f'"builtin:{name}"' for name in BUILTIN_MODELS))
        return value
    if is_local(value) or (_HUB.fullmatch(value) and ".." not in value):
        return value
    raise ValueError('must be "org/name[@revision]", a path beginning with "/", "./", "../" or "~", or "builtin:smollm2-135m"')


def _check_adapter_source(value: str) -> str:
    if is_local(value) or (_HUB.fullmatch(value) and ".." not in value):
        return value
    raise ValueError('must be "org/name[@revision]", or a path beginning with "/", "./", "../" or "~"')


AdapterSource = Annotated[str, AfterValidator(_check_adapter_source)]
Source = Annotated[str, AfterValidator(_check_source)]
