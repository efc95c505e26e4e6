"""How a pair of texts becomes a score: what the files of a reranker say."""

from dataclasses import dataclass
from enum import StrEnum

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.encoding.modules import Module
from mlxd.worker.facts.encoding.values import size
from mlxd.worker.facts.json_document import JsonDocument

_ASSUMED_LABELS = 2  # of transformers, where a configuration does not say
_SIGMOID, _IDENTITY = "Sigmoid", "Identity"
JUDGES = "qwen3"  # the type of models that are asked as Qwen3-Reranker's authors do
YES, NO = "yes", "no"  # what Qwen3-Reranker answers


class ScoreKind(StrEnum):
    """Where a score comes from."""

    HEAD = "head"  # a classifier of one label behind the model
    TOKENS = "tokens"  # the logit of one token less that of another
    LAYERS = "layers"  # the modules behind the pooling


@dataclass(frozen=True)
class Scoring:
    """Where a score comes from, and whether it goes through a ``sigmoid``. Of ``TOKENS``, ``true`` and ``false`` are the two: ids, or how
    they are spelled.
    """

    kind: ScoreKind
    sigmoid: bool
    origin: str
    true: int | str = YES
    false: int | str | None = NO


def of_head(config: JsonDocument, other: JsonDocument) -> Scoring:
    """Returns the scoring of a classifier. Raises ``ModelSourceError`` for one of several labels."""
    labels = _labels(config)
    if labels != 1:
        raise ModelSourceError(f"{config.path}: the model tells {labels} labels apart: that is no reranker, which has one")
    return Scoring(ScoreKind.HEAD, *_activation(config, other))


def of_layers(config: JsonDocument, other: JsonDocument, width: int) -> Scoring:
    """Returns the scoring of modules whose last one gives ``width`` numbers. Raises ``ModelSourceError`` where that is not one."""
    if width != 1:
        raise ModelSourceError(f"{other.path}: the last module gives {width} scores: that is no reranker, which has one")
    return Scoring(ScoreKind.LAYERS, *_activation(config, other))


def of_classifier_tokens(config: JsonDocument) -> Scoring:
    """Returns the scoring by the tokens that ``classifier_from_token`` of a configuration names: the false one, and the true one."""
    match config.get("classifier_from_token"):
        case [str(false), str(true)]:
            return Scoring(ScoreKind.TOKENS, sigmoid=True, origin=config.origin("classifier_from_token"), true=true, false=false)
    raise config.wrong("classifier_from_token", 'the texts of two tokens, such as ["no", "yes"]')


def of_module(module: Module, config: JsonDocument, other: JsonDocument) -> Scoring:
    """Returns the scoring by the tokens that the module LogitScore names."""
    settings = module.settings()
    sigmoid, _ = _activation(config, other)
    ids = {key: _token(settings, key) for key in ("true_token_id", "false_token_id")}
    true = ids["true_token_id"]
    if true is None:
        raise settings.wrong("true_token_id", "a token id")
    return Scoring(ScoreKind.TOKENS, sigmoid, f"{module.name}/{settings.origin('true_token_id')}", true, ids["false_token_id"])


def of_yes_and_no() -> Scoring:
    """Returns the scoring of Qwen3-Reranker, as its authors have it."""
    return Scoring(ScoreKind.TOKENS, sigmoid=True, origin=f'the answers "{YES}" and "{NO}" of Qwen3-Reranker')


def _labels(config: JsonDocument) -> int:
    names = config.part("id2label")
    if names is not None:
        return len(names.values)
    return size(config, "num_labels") if config.get("num_labels") is not None else _ASSUMED_LABELS


def _activation(config: JsonDocument, other: JsonDocument) -> tuple[bool, str]:
    """Tells whether scores go through a sigmoid, which they do where no file says otherwise, and who says so."""
    nested = config.part("sentence_transformers")
    places = [
        (nested, "activation_fn"),
        (config, "sbert_ce_default_activation_function"),
        (other, "activation_fn"),
    ]
    for document, key in places:
        if document is None or (name := document.text(key)) is None:
            continue
        last = name.rpartition(".")[2]
        if last not in (_SIGMOID, _IDENTITY):
            raise document.wrong(key, f"torch.nn's {_SIGMOID} or {_IDENTITY}")
        return last == _SIGMOID, document.origin(key)
    return True, "of one label, where no file says otherwise"


def _token(settings: JsonDocument, key: str) -> int | None:
    value: int | None = settings.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise settings.wrong(key, "a token id")
    return value
