"""What may be asked for: each model as it is, and with each of its adapters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlxd.adapter_terms import AdapterFigures
from mlxd.config.given_names import Asked, own_names
from mlxd.config.names import without_patterns
from mlxd.control.model.status import ModelStatus


@dataclass(frozen=True)
class Offer:
    """A model as it is at this moment, or one of its adapters."""

    status: ModelStatus
    adapter: AdapterFigures | None = None

    @property
    def asked(self) -> Asked:
        """Returns what a request for it asks for."""
        return Asked(self.status.name, self.adapter.name if self.adapter else "")

    @property
    def aliases(self) -> Sequence[str]:
        """Returns the aliases that are its own, patterns included."""
        return self.status.config.adapters[self.adapter.name].aliases if self.adapter else self.status.config.aliases

    @property
    def names(self) -> list[str]:
        """Returns its own name and its aliases that are names: what a list of models has."""
        return [self.asked.name, *without_patterns(self.aliases)]

    @property
    def given(self) -> list[str]:
        """Returns every name that it has, patterns included."""
        model = self.status
        if self.adapter is None:
            return [model.name, *self.aliases]
        return [*(f"{own}:{self.adapter.name}" for own in own_names(model.name, model.config)), *self.aliases]

    @property
    def state(self) -> str:
        """Returns the state of the model, or of the adapter: of these, one of a model that is not loaded is not either."""
        return (self.adapter.state if self.adapter else self.status.state).value


def offers_of(status: ModelStatus) -> Iterator[Offer]:
    """Yields the model, then its adapters in the file's order."""
    yield Offer(status)
    yield from (Offer(status, adapter) for adapter in status.adapters)
