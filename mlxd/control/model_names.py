"""Which model a name is for: the ids of models, their aliases, and the patterns among these."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mlxd.config.names import is_pattern, matches, specificity
from mlxd.config.schema import ModelTable


@dataclass(frozen=True)
class ModelNames:
    """All names of one configuration, in which none is given twice. ``patterns`` are the most specific first."""

    exact: Mapping[str, str]  # name -> id
    patterns: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, models: Mapping[str, ModelTable]) -> Self:
        given = [(name, model) for model, table in models.items() for name in (model, *table.aliases)]
        patterns = [pair for pair in given if is_pattern(pair[0])]
        return cls(
            exact={name: model for name, model in given if not is_pattern(name)},
            patterns=tuple(sorted(patterns, key=lambda pair: specificity(pair[0]), reverse=True)),
        )

    def asked(self, name: str) -> str | None:
        """Returns the id of the model that a client's request for ``name`` goes to: an exact name before every pattern."""
        exact = self.exact.get(name)
        return exact if exact is not None else next((model for pattern, model in self.patterns if matches(pattern, name)), None)
