"""The models as the holder of a key may see them: whoever asks of a model asks here."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from aiohttp import web
from typing_extensions import override

from mlxd.api.keys import KEY_USE, MODELS, Models, ReadyModel
from mlxd.config.names import is_pattern
from mlxd.config.principal import Principal, means
from mlxd.control.model.status import ModelStatus
from mlxd.control.model_names import Asked
from mlxd.control.quotas.key_use import KeyUse, Right
from mlxd.errors import ModelNotAllowedError, ModelNotFoundError, excerpt
from mlxd.listener.security import PRINCIPAL


def models_of(request: web.Request) -> Models:
    """Returns the models that whoever asks may ask for."""
    models, holder = request.app[MODELS], request[PRINCIPAL]
    return PermittedModels(models, holder, request[KEY_USE]) if holder.models else models


@dataclass(frozen=True)
class PermittedModels(Models):
    """Those of the ``models`` that the ``holder`` may ask for; ``use`` counts what is refused."""

    models: Models
    holder: Principal
    use: KeyUse

    @override
    def resolve(self, name: str) -> Asked:
        """Returns what a name is for. Raises ``ModelNotAllowedError`` and ``ModelNotFoundError``, which name the permitted ones."""
        allowed = [status.name for status in self.statuses()]
        there_are = f"there are: {', '.join(allowed) or 'none'}"
        try:
            found = self.models.resolve(name)
        except ModelNotFoundError:
            raise ModelNotFoundError(f'no model "{excerpt(name)}" is configured here; {there_are}', param="model") from None
        if found.model not in allowed:
            self.use.refuse(Right.MODELS)
            raise ModelNotAllowedError(f'this key may not ask for the model "{excerpt(name)}"; {there_are}', param="model")
        return found

    @override
    def statuses(self) -> Iterable[ModelStatus]:
        named = {self._named(item) for item in self.holder.models if not is_pattern(item)}
        patterns = [item for item in self.holder.models if is_pattern(item)]
        return [
            status
            for status in self.models.statuses()
            if status.name in named or any(means(item, status.name, status.config.aliases) for item in patterns)
        ]

    def _named(self, item: str) -> str | None:
        """Returns the model that a name leads to, which is one, though several may have an alias that it fits."""
        try:
            return self.models.resolve(item).model
        except ModelNotFoundError:
            return None

    @override
    def status(self, name: str) -> ModelStatus:
        return self.models.status(self.resolve(name).model)

    @override
    def hold(self, asked: Asked) -> AbstractAsyncContextManager[ReadyModel]:
        return self.models.hold(self.resolve(asked.name))
