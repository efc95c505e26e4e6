"""The part of ``docs/architectures.md`` about models that see."""

import re

from mlxd.types import Ability
from mlxd.worker.runtime.vision.architectures import ARCHITECTURES

_HEAD = """## Models that see

Models of these architectures are mlx-vlm's ([docs/models.md](models.md#models-that-see)), and run on the paged runner. Pictures are served
if they are *proved* at load, too: a made-up one, in the model's own conversation, in chunks and beside another sequence, must give the
logits of mlx-vlm's own way to put pictures and words together. Else the model serves text, and `mlxd status MODEL` and the log say why.

Every row is a tiny checkpoint that Hugging Face's transformers has computed with (`tests/data/vision`), and tests compare with that: the
logits of every token (`tests/worker/vision/test_references.py`: whole, in chunks, beside others, behind a prefix hit before, amid and
behind a picture), and whole answers in company (`test_runner.py`), in float32 on the CPU. Compiled steps, drafts, half precision, quantized
weights and 8-bit keys and values are tried with some of them (`test_variants.py`).

| architecture | class of | sees | what is special |
|---|---|---|---|"""
_ROW = re.compile(r"\| `(?P<name>[^`]+)` \| mlx-vlm \| (?P<sees>[^|]*) \| [^|]* \|")
_WORDS = {Ability.IMAGES: "pictures", Ability.VIDEOS: "films"}
SPECIAL = {
    "gemma3": "a picture's tokens see each other, also in layers that see a window",
    "idefics3": "a picture is a span for each of its crops",
    "llava": "a picture is one span",
    "mistral3": "a picture is a span for each row; Ministral 3's queries are scaled by their places",
    "pixtral": "a picture is a span for each row",
    "qwen2_5_vl": "positions by time, height and width",
    "qwen2_vl": "positions by time, height and width",
    "qwen3_vl": "positions by time, height and width; embeddings are added behind the first layers as well",
    "smolvlm": "a picture is a span for each of its crops",
}


def told(abilities):
    return " and ".join(word for ability, word in _WORDS.items() if ability in abilities)


def documented_sights(text):
    """Name of an architecture -> what it sees."""
    rows = [_ROW.fullmatch(line) for line in text.splitlines()]
    return {row["name"]: row["sees"] for row in rows if row}


def sight_section(sights):
    assert sights.keys() == SPECIAL.keys() == ARCHITECTURES.keys()
    rows = [f"| `{name}` | mlx-vlm | {sees} | {SPECIAL[name]} |" for name, sees in sorted(sights.items())]
    return "\n".join([_HEAD, *rows])
