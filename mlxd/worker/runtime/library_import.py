"""How mlx_lm is imported: what its import does to the whole process is kept from it, and what takes long in it is done once.

It sets the limit of open files, to 2048, at most 4096. Where the system allows fewer (a container's or a unit's own limit), its import
fails, and with it every model. The limit is the daemon's business, and a worker inherits it.

It imports transformers, which reads all of its thousand files, twice: what it remembers of them, directory by directory, is in a cache of
128 entries for some 550 directories, so that the second time finds nothing of the first. And of each file it takes all lines apart, to find
the few at the end that say what the file exports: a fifth of all that a worker's start takes.
"""

import functools
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from typing_extensions import override

_ROOM = 4096  # entries of a cache whose size nobody chose
_READS_EXPORTS = "transformers.utils.import_utils"

_lru_cache: Callable[..., Any] = functools.lru_cache


def import_library() -> None:
    """Imports mlx_lm, and leaves the limit of open files as it is."""
    sys.meta_path.insert(0, finder := _Finder())
    try:
        with replaced(resource, "setrlimit", _ignored), replaced(functools, "lru_cache", _roomy_cache):
            import mlx_lm.utils  # noqa: F401, PLC0415 - this is what sets it
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    """Puts something else in the place of what a module calls so, within."""
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


class _Finder(MetaPathFinder):
    """Finds the module that reads what files export, and has it read their ends."""

    @override
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname == _READS_EXPORTS else None
        if spec is not None and spec.loader is not None:
            _after(spec.loader, "exec_module", _read_ends)
        return spec


def _after(owner: object, name: str, then: Callable[[ModuleType], None]) -> None:
    execute = getattr(owner, name)

    def both(module: ModuleType) -> None:
        execute(module)
        then(module)

    setattr(owner, name, both)


def _read_ends(module: ModuleType) -> None:
    """Lets ``fetch__all__`` of the library look at a file from its last ``__all__`` on. A version that reads otherwise does as it likes."""
    whole = getattr(module, "fetch__all__", None)
    if whole is not None:
        module.fetch__all__ = lambda content: whole(content[content.rfind("\n__all__") + 1 :])  # type: ignore[attr-defined]
