"""What has to be said of a model to make a checkpoint of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.vision.generate.vocabularies import Vocabulary

Settings = dict[str, Any]

# So small that every pair of channels turns visibly between neighbouring tokens: a wrong position is a wrong logit.
ROPE_THETA = 10.0
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
HALF = [0.5, 0.5, 0.5]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A model as its files on the hub describe it.

    ``config`` is given the id of any token and the size of the vocabulary, and returns ``config.json``; ``files`` holds the other files
    by their names.
    """

    name: str
    vocabulary: Vocabulary
    template: str
    tokenizer: Settings  # tokenizer_config.json
    config: Callable[[Callable[[str], int], int], Settings]
    files: dict[str, Settings]
    transformers_type: str | None = None  # where transformers knows the model by another name than mlx-vlm's checkpoints have
    videos: bool = False
    seed: int = 0
