"""Every name that a configuration gives: of models, of their adapters, and the aliases of both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlxd.config.keys import Key
from mlxd.config.names import without_patterns
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

    @property
    def key(self) -> Key:
        """Returns the key of its table."""
        return ("models", self.model, "adapters", self.adapter) if self.adapter else ("models", self.model)


@dataclass(frozen=True)
class GivenName:
    """A name, or a pattern, with what it is for and where it stands."""

    text: str
    asked: Asked
    key: Key

    @property
    def is_alias(self) -> bool:
        """Tells whether it is written as one."""
        return self.key != self.asked.key


def given_names(models: Mapping[str, ModelTable]) -> Iterator[GivenName]:
    """Yields the names of models, their aliases, then the names of adapters and their aliases. An adapter is called by its model's name,
    or an exact alias of that, and its own after a colon.
    """
    yield from (GivenName(name, Asked(name), ("models", name)) for name in models)
    for name, model in models.items():
        yield from (GivenName(alias, Asked(name), ("models", name, "aliases", place)) for place, alias in enumerate(model.aliases))
    for name, model in models.items():
        for adapter, table in model.adapters.items():
            asked = Asked(name, adapter)
            yield from (GivenName(f"{own}:{adapter}", asked, asked.key) for own in own_names(name, model))
            yield from (GivenName(alias, asked, (*asked.key, "aliases", place)) for place, alias in enumerate(table.aliases))


def own_names(name: str, model: ModelTable) -> list[str]:
    """Returns a model's name and its aliases that are no patterns, each once."""
    return list(dict.fromkeys((name, *without_patterns(model.aliases))))
