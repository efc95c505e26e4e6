"""How many tokens a text may have, with what the tokenizer adds to it."""

from dataclasses import replace

from mlxd.worker.facts.context import Context
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.values import size
from mlxd.worker.facts.json_document import JsonDocument

_KEY = "max_seq_length"
_NO_LIMIT = 2**31
_TRAINED_SHORTER = "nomic_bert"
OFFSET_BY_PADDING = frozenset(("roberta", "xlm-roberta", "camembert", "mpnet"))  # whose first position is the one behind that of padding
_TABLES = OFFSET_BY_PADDING | {"bert", "distilbert"}  # whose positions are rows of a table


def find_longest(directory: DirectoryFacts, settings: JsonDocument) -> Context:
    """Returns what ``sentence_bert_config.json`` says; without it, the least of what tokenizer and model have. Where it says
    more than the model has positions, these count, with a warning.
    """
    most = _positions(directory)
    said = settings.count(_KEY)
    if said is not None:
        origin = settings.origin(_KEY)
        doubt = (
            None if said <= most.length else f"{origin} is {said}, but the model has {most.length} positions ({most.origin}): these count"
        )
        return Context(min(said, most.length), origin if doubt is None else most.origin, warning=doubt)
    tokenizer = JsonDocument.read_if_there(directory.directory / "tokenizer_config.json")
    length = tokenizer.get("model_max_length")
    if isinstance(length, int | float) and 0 < length < min(most.length, _NO_LIMIT):
        return replace(most, length=int(length), origin=tokenizer.origin("model_max_length"), fixed=False)
    return most


def wished_longest(directory: DirectoryFacts, found: Context, wish: int | None) -> Context:
    """Returns the context under ``context_length`` of the configuration. Raises ``ConfigError`` where there are not as many positions."""
    most = _positions(directory)
    if wish is not None and most.fixed and wish > most.length:
        return most.wished(wish)
    return found.wished(wish)


def _positions(directory: DirectoryFacts) -> Context:
    config = directory.config
    kind = config.get("model_type")
    if kind == _TRAINED_SHORTER and (trained := config.count("max_trained_positions")) is not None:
        return Context(trained, config.origin("max_trained_positions"))  # beyond, its authors stretch positions by a rule of their own
    if kind not in _TABLES:
        return directory.context
    rows, origin = size(config, "max_position_embeddings"), config.origin("max_position_embeddings")
    if kind in OFFSET_BY_PADDING:
        used = padding_token(config) + 1
        if used >= rows:
            raise config.wrong("max_position_embeddings", f"more than the {used} that come before the first position")
        return Context(rows - used, f"{origin} less {used}, which come before the first position", fixed=True)
    return Context(rows, origin, fixed=True)


def padding_token(config: JsonDocument) -> int:
    """Returns the id of the token that fills up, of models whose positions are counted from it."""
    value = config.get("pad_token_id")
    if value is None:
        return 1  # as RoBERTa's configuration has it where it is not named
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise config.wrong("pad_token_id", "a token id")
    return value
