"""Everything a model's directory says of the model, read once, before anything of it is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.chat_template import FoundTemplates, find_chat_template
from mlxd.worker.facts.checks import check_values
from mlxd.worker.facts.context import Context, find_context
from mlxd.worker.facts.end_tokens import EndTokens, find_end_tokens
from mlxd.worker.facts.json_document import AGAIN, JsonDocument, is_there
from mlxd.worker.facts.packing import check_packing
from mlxd.worker.facts.sources import Sources
from mlxd.worker.facts.weights import PATTERN, Weights, find_weights

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json")


@dataclass(frozen=True)
class WholeDirectory:
    """A directory from which nothing is missing; whether what its files say can be, is not known yet."""

    sources: Sources
    weights: Weights

    @classmethod
    def check(cls, directory: Path) -> Self:
        """Reads JSON files and the headers of weights, not the weights: a fraction of a second.

        Raises ``ModelSourceError`` that names the file for what is missing, damaged, or there twice.
        """
        with _named_errors(directory):
            _check_exists(directory)
            sources = Sources.read(directory)
            _check_model_type(sources.config)
            weights = find_weights(directory)
            _check_tokenizer(directory)
        return cls(sources, weights)


@dataclass(frozen=True)
class DirectoryFacts:
    """What was found in a directory, and where. ``config`` is the whole ``config.json``."""

    directory: Path
    config: JsonDocument
    weights: Weights
    context: Context
    end_tokens: EndTokens
    template: FoundTemplates

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Checks the directory, and reads what its files say. Raises ``ModelSourceError`` that names the file, and the key in it."""
        whole = WholeDirectory.check(directory)
        with _named_errors(directory):
            check_values(whole.sources)
            check_packing(whole.sources, whole.weights)
            return cls(
                directory,
                whole.sources.config,
                whole.weights,
                find_context(whole.sources),
                find_end_tokens(whole.sources),
                find_chat_template(whole.sources),
            )


def tokenizer_file(directory: Path) -> Path:
    """Returns the file that holds the vocabulary. Raises ``ModelSourceError`` where there is none."""
    for name in _TOKENIZERS:
        if is_there(directory / name):
            return directory / name
    for path in sorted(directory.glob("*.tiktoken")):
        return path
    raise ModelSourceError(f"{directory} has no tokenizer (tokenizer.json or tokenizer.model); {AGAIN}")


@contextmanager
def _named_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelSourceError(f"{error.filename or directory} cannot be read: {error.strerror or error}") from error


def _check_exists(directory: Path) -> None:
    if not directory.exists():
        raise ModelSourceError(f"{directory} does not exist; give the path of a model directory that holds config.json")
    if not directory.is_dir():
        raise ModelSourceError(f"{directory} is a file; a model is a directory with config.json, {PATTERN} and a tokenizer")


def _check_model_type(config: JsonDocument) -> None:
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise ModelSourceError(f'{config.path} has no "model_type"; is this the configuration of a language model?')
    if config.get("model_file") is not None:
        raise ModelSourceError(f'{config.path} asks to run code of its own ("model_file"); mlxd runs no code that comes with a model')


def _check_tokenizer(directory: Path) -> None:
    if tokenizer_file(directory).name == "tokenizer.json":
        JsonDocument.read(directory / "tokenizer.json")
