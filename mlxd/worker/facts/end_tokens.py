"""Which tokens end an answer: whatever any of a model's files says, for what one forgets another knows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.facts.sources import Sources

_NONE = -1  # of configurations that have no end token
_LATE = 10**9  # more ids than any vocabulary has


@dataclass(frozen=True)
class EndTokens:
    """The end tokens, with where each was named. ``texts`` are known by their spelling only, until there is a tokenizer."""

    ids: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def find_end_tokens(sources: Sources) -> EndTokens:
    """Returns the union of all files. Raises ``ModelSourceError`` that names a value which is no token.

    An id of 0 is one like any other; null and -1 say that there is none.
    """
    ids: dict[int, tuple[str, ...]] = {}
    for document in (*sources.configurations(), sources.generation):
        for token in dict.fromkeys(document.whole_numbers("eos_token_id")):
            if not _NONE <= token < _LATE:
                raise document.wrong("eos_token_id", "ids of the vocabulary")
            if token != _NONE:
                ids[token] = (*ids.get(token, ()), document.origin("eos_token_id"))
    texts: dict[str, tuple[str, ...]] = {}
    for document in (sources.tokenizer, sources.special_tokens):
        for text in _spelled(document):
            texts[text] = (*texts.get(text, ()), document.origin("eos_token"))
    return EndTokens(ids, texts)


def _spelled(document: JsonDocument) -> Iterator[str]:
    """Yields the token's spelling: a string, or the ``content`` of an object that describes the token."""
    value = document.get("eos_token")
    if isinstance(value, dict):
        value = value.get("content")
        if not isinstance(value, str):
            raise document.wrong("eos_token", 'a string, or an object with its "content"')
    elif value is not None and not isinstance(value, str):
        raise document.wrong("eos_token", "a string or an object")
    if value:
        yield value
