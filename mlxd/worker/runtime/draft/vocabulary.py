"""Do two models mean the same text by the same token? A draft model of another vocabulary would guess nonsense, and only be slow."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlxd.errors import DraftModelError, excerpt


@dataclass(frozen=True)
class NamedVocabulary:
    """The tokens of a model, text to id, by the ``source`` that the configuration names it with."""

    source: str
    ids: Mapping[str, int]


def check_same_vocabulary(target: NamedVocabulary, draft: NamedVocabulary) -> None:
    """Raises ``DraftModelError`` where a token is not the same in both. How many rows the models' embeddings have beyond their
    tokens, for the sake of round numbers, does not matter.
    """
    if target.ids == draft.ids:
        return
    sizes = f"{len(draft.ids)} tokens to {len(target.ids)}; " if len(draft.ids) != len(target.ids) else ""
    raise DraftModelError(
        f"the draft model {draft.source} cannot draft for {target.source}: their vocabularies differ ({sizes}"
        f"{_first_difference(target.ids, draft.ids)}); choose a draft model of the same family"
    )


def check_width(target: NamedVocabulary, draft: NamedVocabulary, *, target_width: int, draft_width: int) -> None:
    """Raises ``DraftModelError`` where the draft model's logits, ``draft_width`` of them, lack tokens that the other model, of
    ``target_width``, may say.
    """
    needed = min(target_width, 1 + max(target.ids.values(), default=-1))
    if draft_width < needed:
        raise DraftModelError(
            f"the draft model {draft.source} cannot draft for {target.source}: it knows {draft_width} tokens, less than the "
            f"{needed} of their vocabulary"
        )


def _first_difference(target: Mapping[str, int], draft: Mapping[str, int]) -> str:
    """Tells the lowest id that is not the same token in both."""
    of_target, of_draft = ({token: text for text, token in ids.items()} for ids in (target, draft))
    differing = min(token for token in of_target.keys() | of_draft.keys() if of_target.get(token) != of_draft.get(token))
    texts = (_shown(ids.get(differing)) for ids in (of_draft, of_target))
    return "token {} is {} there and {} here".format(differing, *texts)


def _shown(text: str | None) -> str:
    return "missing" if text is None else f'"{excerpt(text, 40)}"'
