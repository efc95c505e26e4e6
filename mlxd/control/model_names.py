"""Which model a name is for, and which of its adapters: ids, aliases, and the patterns among these."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mlxd.config.given_names import Asked, given_names, own_names
from mlxd.config.names import is_pattern, matches, specificity
from mlxd.config.schema import ModelTable

__all__ = ["Asked", "ModelNames"]


@dataclass(frozen=True)
class ModelNames:
    """All names of one configuration, in which none is given twice. ``patterns`` are the most specific first. What begins with one of
    ``reserved`` is the name of an adapter, or of nothing: a slip in one must not be answered by another model, or without the adapter.
    """

    exact: Mapping[str, Asked]
    patterns: tuple[tuple[str, Asked], ...]
    reserved: tuple[str, ...]

    @classmethod
    def of(cls, models: Mapping[str, ModelTable]) -> Self:
        given = list(given_names(models))
        patterns = [(one.text, one.asked) for one in given if is_pattern(one.text)]
        return cls(
            exact={one.text: one.asked for one in given if not is_pattern(one.text)},
            patterns=tuple(sorted(patterns, key=lambda pair: specificity(pair[0]), reverse=True)),
            reserved=tuple(f"{own}:" for name, table in models.items() if table.adapters for own in own_names(name, table)),
        )

    @property
    def all(self) -> list[str]:
        """Returns the name of each model and each adapter."""
        return list(dict.fromkeys(asked.name for asked in self.exact.values()))

    def asked(self, name: str) -> Asked | None:
        """Returns what a client's request for ``name`` goes to: an exact name before every pattern."""
        exact = self.exact.get(name)
        if exact is not None or name.startswith(self.reserved):
            return exact
        return next((asked for pattern, asked in self.patterns if matches(pattern, name)), None)
