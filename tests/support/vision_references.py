"""Tiny vision models and what transformers computes with them: ``tests/data/vision``, made by ``tests/vision/generate``."""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(os.environ.get("MLXD_VISION_DATA", Path(__file__).parents[1] / "data" / "vision"))
PICTURES = DATA / "pictures"
FRAME = (16, 48)  # height and width of the clip's frames, which lie below each other


@dataclass(frozen=True)
class VisionReference:
    """A case of a model, as transformers has it.

    ``tokens`` are those of the prompt, ``greedy`` the eight that follow it, which are each at least ``margin`` likelier than any other.
    ``grids`` and ``shapes`` are of the processor's outputs.

    ``T`` below is the length of ``every_token()``.

    - ``columns``: ``[T, 16]``, the logits of sixteen tokens of the vocabulary (``kept_tokens``) at every position;
    - ``likeliest``: ``[T]``, the likeliest token after each;
    - ``last``: ``[3, vocabulary]``, all logits at the last position of the prompt, the one behind it, and the last of all;
    - ``features``: ``[placeholders, hidden]``, what stands in the placeholders' places;
    - ``positions``: ``[3, prompt]``, where the model has three axes;
    - ``pixel_values`` and ``pixel_values_videos``: a sample (``sampled``).
    """

    name: str
    messages: list[dict[str, Any]]
    prompt: str
    tokens: list[int]
    greedy: list[int]
    margin: float
    grids: dict[str, list[Any]]
    shapes: dict[str, list[int]]
    arrays: dict[str, np.ndarray]

    def every_token(self) -> list[int]:
        """Returns the tokens that the logits are of: the prompt's and the greedy ones but the last."""
        return self.tokens + self.greedy[:-1]

    def parts(self, kind: str) -> list[dict[str, Any]]:
        """Returns the parts of type ``image`` or ``video``, in their order in the conversation."""
        return [part for message in self.messages for part in message["content"] if part["type"] == kind]


def kept_tokens(vocabulary: int) -> np.ndarray:
    return np.linspace(0, vocabulary - 1, 16).astype(np.int64)


def sampled(pixels: np.ndarray) -> np.ndarray:
    """Returns the 256 values that are kept of an array of pixels."""
    flat = pixels.reshape(-1)
    return flat[np.linspace(0, flat.size - 1, min(256, flat.size)).astype(np.int64)]


def architectures() -> list[str]:
    return sorted(path.parent.name for path in DATA.glob("*/references.json"))


def checkpoint(architecture: str) -> Path:
    return DATA / architecture


@cache
def references(architecture: str) -> dict[str, VisionReference]:
    """Returns the cases of an architecture by their names."""
    facts = json.loads((checkpoint(architecture) / "references.json").read_text())
    with np.load(checkpoint(architecture) / "references.npz") as kept:
        arrays = {name: kept[name] for name in kept.files}
    return {one["name"]: VisionReference(**one, arrays=_of(one["name"], arrays)) for one in facts}


def _of(case: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{case}."): value for name, value in arrays.items() if name.startswith(f"{case}.")}
