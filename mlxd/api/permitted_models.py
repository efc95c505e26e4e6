"""The models as the holder of a key may see them: whoever asks of a model asks here."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from aiohttp import web
from typing_extensions import override

from mlxd.api.keys import KEY_USE, MODELS, Models, ReadyModel
from mlxd.api.offers import Offer, offers_of
from mlxd.config.given_names import Asked
from mlxd.config.names import is_pattern
from mlxd.config.principal import Principal, means
from mlxd.control.model.status import ModelStatus
from mlxd.control.quotas.key_use import KeyUse, Right
from mlxd.errors import ModelNotAllowedError, ModelNotFoundError, excerpt
from mlxd.listener.security import PRINCIPAL


def models_of(request: web.Request) -> "PermittedModels":
    """Returns the models that whoever asks may ask for."""
    return PermittedModels(request.app[MODELS], request[PRINCIPAL], request[KEY_USE])


@dataclass(frozen=True)
class PermittedModels(Models):
    """Those of the ``models``, and of their adapters, that the ``holder`` may ask for; ``use`` counts what is refused. Who may ask for a
    model may ask for its adapters.
    """

    models: Models
    holder: Principal
    use: KeyUse

    @override
    def resolve(self, name: str) -> Asked:
        """Returns what a name is for. Raises ``ModelNotAllowedError`` and ``ModelNotFoundError``, which name the permitted ones."""
        if not self.holder.models:
            return self.models.resolve(name)
        try:
            found = self.models.resolve(name)
        except ModelNotFoundError:
            raise ModelNotFoundError(f'no model "{excerpt(name)}" is configured here; {self._there_are}', param="model") from None
        if not self._permits([self._offer(found)]):
            self.use.refuse(Right.MODELS)
            raise ModelNotAllowedError(f'this key may not ask for the model "{excerpt(name)}"; {self._there_are}', param="model")
        return found

    def offers(self) -> Sequence[Offer]:
        """Returns all that may be asked for, in the file's order: each model, then its adapters."""
        everything = [offer for status in self.models.statuses() for offer in offers_of(status)]
        if not self.holder.models:
            return everything
        return self._permits(everything)

    def offer(self, name: str) -> Offer:
        """Returns what a request for this name would ask for. Raises as ``resolve``."""
        return self._offer(self.resolve(name))

    def only_one(self) -> str | None:
        """Returns the name of the only model that may be asked for, as it is; None where there are several, or none."""
        offers = self.offers()
        names = [offer.asked.name for offer in offers if offer.adapter is None] or [offer.asked.name for offer in offers]
        return names[0] if len(names) == 1 else None

    @override
    def statuses(self) -> Iterable[ModelStatus]:
        """Returns those that the holder may ask for, or for an adapter of which."""
        return list({offer.status.name: offer.status for offer in self.offers()}.values())

    @property
    def _there_are(self) -> str:
        return f"there are: {', '.join(offer.asked.name for offer in self.offers()) or 'none'}"

    def _offer(self, asked: Asked) -> Offer:
        return next(offer for offer in offers_of(self.models.status(asked.model)) if offer.asked == asked)

    def _permits(self, offers: Iterable[Offer]) -> list[Offer]:
        """Returns those of ``offers`` that the holder, who may not ask for all, may ask for."""
        named = {self._named(item) for item in self.holder.models if not is_pattern(item)}
        patterns = [item for item in self.holder.models if is_pattern(item)]
        return [offer for offer in offers if not named.isdisjoint(_ways(offer)) or _is_meant(offer, patterns)]

    def _named(self, item: str) -> Asked | None:
        """Returns what a name leads to, which is one, though several may have an alias that it fits."""
        try:
            return self.models.resolve(item)
        except ModelNotFoundError:
            return None

    @override
    def status(self, name: str) -> ModelStatus:
        return self.models.status(self.resolve(name).model)

    @override
    def hold(self, asked: Asked) -> AbstractAsyncContextManager[ReadyModel]:
        return self.models.hold(self.resolve(asked.name))


def _ways(offer: Offer) -> set[Asked | None]:
    """Returns what gives the right to ask for it: that to itself, and that to its model."""
    return {offer.asked, Asked(offer.status.name)}


def _is_meant(offer: Offer, patterns: Iterable[str]) -> bool:
    names = [*Offer(offer.status).given, *(offer.given if offer.adapter else [])]
    return any(means(item, names) for item in patterns)
