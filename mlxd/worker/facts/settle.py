"""From what the files say to what holds, once there is a tokenizer, and once the model has shown how many logits it has."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlxd.wire.model_facts import EndToken
from mlxd.worker.facts.end_tokens import EndTokens

# Of gpt-oss: an answer goes on after the message that holds its analysis.
_ENDS_A_MESSAGE, _ENDS_AN_ANSWER = "<|end|>", "<|return|>"


def unite(found: EndTokens, own: Mapping[int, str], vocabulary: Mapping[str, int]) -> list[EndToken]:
    """Returns every end token that anybody names. ``own`` are those that the tokenizer and the chat template add, with their origins."""
    origins = {token: list(names) for token, names in found.ids.items()}
    for text, names in found.texts.items():
        if text in vocabulary:
            origins.setdefault(vocabulary[text], []).extend(names)
    for token, origin in own.items():
        if token not in origins:
            origins[token] = [origin]
    spelled = {token: text for text, token in vocabulary.items() if token in origins}
    return [EndToken(id=token, text=spelled.get(token, ""), origins=origins[token]) for token in sorted(origins)]


@dataclass(frozen=True)
class Settled:
    """What holds of the end tokens: the ``usable`` ones can be generated; ``warnings`` say what cannot, and what else does not fit."""

    usable: list[EndToken]
    warnings: list[str]


def settle(end_tokens: Sequence[EndToken], vocabulary: Iterable[int], vocab_size: int) -> Settled:
    """Settles which end tokens are usable. ``vocabulary`` has the tokenizer's ids; ``vocab_size`` is the model's."""
    usable = [token for token in end_tokens if token.id < vocab_size]
    warnings = [
        f"the end token {token.id} ({', '.join(token.origins)}) is beyond the model's vocabulary of {vocab_size}: it is ignored"
        for token in end_tokens
        if token.id >= vocab_size
    ]
    if not usable:
        warnings.append("no file of the model names an end token: answers end at max_tokens or at a stop string")
    known = max(vocabulary, default=-1) + 1
    if known > vocab_size:
        warnings.append(
            f"the tokenizer knows tokens up to {known - 1}, the model has {vocab_size}: prompts that hold one of the others are refused"
        )
    return Settled(usable, warnings)


def end_of_turn(rendered: str, answer: str, added: Mapping[str, int]) -> int | None:
    """Returns the token that a chat template writes behind the ``answer`` of a conversation that ends with it; None where that is not
    plain.

    It is plain where nothing but added tokens and white space follows: ``<|im_end|>``, or ``<|end|><|endoftext|>``, of which the first
    counts. Markers with text between them close parts of an answer too, and may not end it.
    """
    _, found, tail = rendered.rpartition(answer)
    if not found or not any(text.strip() for text in added):
        return None
    token = "|".join(re.escape(text) for text in sorted(added, key=len, reverse=True) if text.strip())
    match = re.fullmatch(rf"\s*(?P<first>{token})(?:\s|{token})*", tail)
    if match is None or (match["first"] == _ENDS_A_MESSAGE and _ENDS_AN_ANSWER in added):
        return None
    return added[match["first"]]
