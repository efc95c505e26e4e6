"""How mlx_lm is imported: what its import does to the whole process is kept from it, and what takes long in it is done once.

It sets the limit of open files, to 2048, at most 4096. Where the system allows fewer (a container's or a unit's own limit), its import
fails, and with it every model. The limit is the daemon's business, and a worker inherits it.

It imports transformers, which reads all of its thousand files, twice: what it remembers of them, directory by directory, is in a cache of
128 entries for some 550 directories, so that the second time finds nothing of the first.
"""

import functools
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_ROOM = 4096  # entries of a cache whose size nobody chose

_lru_cache: Callable[..., Any] = functools.lru_cache


def import_library() -> None:
    """Imports mlx_lm, and leaves the limit of open files as it is."""
    with _replaced(resource, "setrlimit", _ignored), _replaced(functools, "lru_cache", _roomy_cache):
        import mlx_lm.utils  # noqa: F401, PLC0415 - this is what sets it


@contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _ignored(_which: int, _limits: tuple[int, int], /) -> None:
    pass


def _roomy_cache(*arguments: Any, **options: Any) -> Any:
    """Stands for ``functools.lru_cache``, with more room where none is asked for: ``@lru_cache``, without parentheses."""
    if arguments and callable(arguments[0]):
        return _lru_cache(maxsize=_ROOM)(arguments[0])
    return _lru_cache(*arguments, **options)
