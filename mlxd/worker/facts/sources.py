"""The files of a model's directory that describe it, and where in them the language model is described."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlxd.worker.facts.json_document import JsonDocument

# Of models that see or hear: their language model has a configuration of its own, which counts before the whole's.
_NESTED = ("text_config", "llm_config", "language_config", "thinker_config")


@dataclass(frozen=True)
class Sources:
    """The file ``config.json``, which every model has, and the others, empty where they are absent."""

    directory: Path
    config: JsonDocument
    generation: JsonDocument
    tokenizer: JsonDocument
    special_tokens: JsonDocument

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Reads the files. Raises ``ModelSourceError`` for what is no JSON object, ``OSError`` for what cannot be read at all."""
        return cls(
            directory,
            JsonDocument.read(directory / "config.json"),
            JsonDocument.read_if_there(directory / "generation_config.json"),
            JsonDocument.read_if_there(directory / "tokenizer_config.json"),
            JsonDocument.read_if_there(directory / "special_tokens_map.json"),
        )

    def configurations(self) -> Iterator[JsonDocument]:
        """Yields the parts of ``config.json`` that may describe the language model, the most particular first."""
        yield from _nested_first(self.config)


def _nested_first(config: JsonDocument) -> Iterator[JsonDocument]:
    for key in _NESTED:
        if (part := config.part(key)) is not None:
            yield from _nested_first(part)
    yield config
