"""What a request needs of the runner that computes its model, refused by name where it is lacking, before anything is computed."""

from collections.abc import Iterable
from dataclasses import dataclass

from mlxd.api.keys import ReadyModel
from mlxd.errors import UnsupportedParameterError
from mlxd.types import Ability

_WORDS = {
    Ability.CONSTRAINTS: "limits on what tokens an answer may have",
    Ability.LOGPROBS: "log-probabilities",
    Ability.PROMPT_LOGPROBS: "log-probabilities of prompts",
}
_SEEN = {Ability.IMAGES: "pictures", Ability.VIDEOS: "films"}
_INSTEAD = "leave out those of the whole conversation, or ask a model that sees them"


@dataclass(frozen=True)
class Need:
    """An ability, and the field of the request that asks for it."""

    ability: Ability
    field: str


def can(model: ReadyModel, ability: Ability) -> bool:
    """Tells whether the model's runner has the ability."""
    return ability in model.ready.abilities


def check_abilities(needs: Iterable[Need], model: ReadyModel) -> None:
    """Raises ``UnsupportedParameterError`` naming the first field that asks for what the model's runner lacks."""
    for need in needs:
        if not can(model, need.ability):
            raise UnsupportedParameterError(f"{need.field} is not supported with this model: {_reason(need, model)}", param=need.field)


def check_adapter(model: ReadyModel) -> None:
    """Raises ``UnsupportedParameterError`` for an adapter of a model whose runner has none."""
    if model.adapter and not can(model, Ability.ADAPTERS):
        raise UnsupportedParameterError(
            f"the model {model.name!r} cannot answer with the adapter {model.adapter!r}: it runs on the {model.ready.runner} runner, "
            "which has no adapters",
            param="model",
        )


def _reason(need: Need, model: ReadyModel) -> str:
    if need.ability in _SEEN:
        return f"{model.name!r} sees no {_SEEN[need.ability]}{_could_see(need, model)}; {_INSTEAD}"
    return f"the model {model.name!r} runs on the {model.ready.runner} runner, which has no {_WORDS[need.ability]}"


def _could_see(need: Need, model: ReadyModel) -> str:
    """Says where it is told why nothing is seen by a model that could. What that is may name files, and is not for clients."""
    could = model.ready.facts.sight and need.ability is Ability.IMAGES
    return f", though it could (mlxd status {model.name} says why)" if could else ""
