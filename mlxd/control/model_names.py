"""Which model a name is for, and which of its adapters: the ids of models, their aliases, and the patterns among these."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from mlxd.config.names import is_pattern, matches, specificity
from mlxd.config.schema import ModelTable


@dataclass(frozen=True)
class Asked:
    """What a name is for: a configured model, and the adapter it is to answer with; empty for the model as it is."""

    model: str
    adapter: str = ""

    @property
    def name(self) -> str:
        """Returns the name that is its own."""
        return f"{self.model}:{self.adapter}" if self.adapter else self.model


@dataclass(frozen=True)
class ModelNames:
    """All names of one configuration, in which none is given twice. ``patterns`` are the most specific first."""

    exact: Mapping[str, Asked]
    patterns: tuple[tuple[str, Asked], ...]

    @classmethod
    def of(cls, models: Mapping[str, ModelTable]) -> Self:
        given = [pair for model, table in models.items() for pair in _names(model, table)]
        patterns = [pair for pair in given if is_pattern(pair[0])]
        return cls(
            exact={name: asked for name, asked in given if not is_pattern(name)},
            patterns=tuple(sorted(patterns, key=lambda pair: specificity(pair[0]), reverse=True)),
        )

    def asked(self, name: str) -> Asked | None:
        """Returns what a client's request for ``name`` goes to: an exact name before every pattern."""
        exact = self.exact.get(name)
        return exact if exact is not None else next((asked for pattern, asked in self.patterns if matches(pattern, name)), None)


def _names(model: str, table: ModelTable) -> Iterator[tuple[str, Asked]]:
    yield from ((name, Asked(model)) for name in (model, *table.aliases))
