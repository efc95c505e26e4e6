"""Models of ``tests/data/encoding``, loaded as a worker loads them."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np

from mlxd.types import Task
from mlxd.wire.prompts import TextPrompt
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.task import find_task
from mlxd.worker.runtime.encoding.loading import LoadedEncoder, open_encoder, read_encoder

DATA = Path(__file__).parents[2] / "data" / "encoding"
CLOSE = 1e-5


def load(directory: Path, task: Task | None = None, **wishes: object) -> LoadedEncoder:
    facts = DirectoryFacts.read(directory)
    opened = open_encoder(facts, task or find_task(facts).task, **({"dtype": "auto", "context_limit": None} | wishes))
    return read_encoder(opened)


def references(directory: Path) -> dict[str, list]:
    return json.loads((directory / "references.json").read_text())


def inputs_of(encoder: LoadedEncoder, texts, *, truncate=True, prompt_name=None):
    return [
        encoder.inputs.embed(TextPrompt(text=text), truncate=truncate, param=f"input[{place}]", prompt_name=prompt_name)
        for place, text in enumerate(texts)
    ]


def pairs_of(encoder: LoadedEncoder, pairs, *, truncate=True, instruction=None, **limits):
    return [
        encoder.inputs.pair(query, document, instruction=instruction, truncate=truncate, param=f"documents[{place}]", **limits)
        for place, (query, document) in enumerate(pairs)
    ]


def worst(found: mx.array, expected) -> float:
    """Returns the largest difference of any number."""
    found, expected = np.array(found), np.array(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())
