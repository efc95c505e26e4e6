"""What a worker is asked about adapters by their names."""

from typing import Protocol

from typing_extensions import override

from mlxd.adapter_terms import AdapterFigures, AdapterSpec, AdapterState
from mlxd.errors import UnsupportedParameterError
from mlxd.types import Limits
from mlxd.worker.facts.adapters.fit import FittedAdapter


class AdapterNames(Protocol):
    """The adapters of one model by their names. Everything happens on the I/O thread."""

    def reconfigure(self, limits: Limits) -> None:
        """Takes over what is configured."""

    async def find(self, name: str) -> FittedAdapter | None:
        """Returns the adapter of that name, None for no name. Raises a ``MlxdError`` where it cannot be used."""

    async def load(self, name: str) -> AdapterFigures:
        """Looks at an adapter's source again, loads it, and returns its figures. Raises what is wrong with it."""

    async def unload(self, name: str) -> AdapterFigures:
        """Gives an adapter's memory back, once no request has it, and returns its figures. Raises where there is none of that name."""

    def figures(self) -> tuple[AdapterFigures, ...]:
        """Returns what is to be told of all of them, in the order of the configuration."""

    def close(self) -> None:
        """Waits for nothing any more."""


class RefusedAdapters(AdapterNames):
    """Those of a model that cannot have any, for a ``reason``."""

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self._specs: tuple[AdapterSpec, ...] = ()

    @override
    def reconfigure(self, limits: Limits) -> None:
        self._specs = limits.adapters

    @override
    async def find(self, name: str) -> FittedAdapter | None:
        if name:
            raise self._refusal()
        return None

    @override
    async def load(self, name: str) -> AdapterFigures:
        raise self._refusal()

    @override
    async def unload(self, name: str) -> AdapterFigures:
        raise self._refusal()

    @override
    def figures(self) -> tuple[AdapterFigures, ...]:
        return tuple(
            AdapterFigures(name=spec.name, state=AdapterState.FAILED, reason=self._reason, pinned=spec.pin) for spec in self._specs
        )

    @override
    def close(self) -> None:
        pass

    def _refusal(self) -> UnsupportedParameterError:
        return UnsupportedParameterError(self._reason, param="model")
