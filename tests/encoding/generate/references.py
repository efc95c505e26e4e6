"""What sentence-transformers, or transformers by the words of a model card, makes of texts: one at a time, on a CPU, in float32."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.encoding.generate.families import Family
from tests.encoding.texts import INSTRUCTION, PAIRS, TEXTS

# The model card of Qwen/Qwen3-Reranker-0.6B.
_TASK = "Given a web search query, retrieve relevant passages that answer the query"
_PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def refer(family: Family, directory: Path) -> None:
    """Writes the references of a model beside its files."""
    found = _scores(family, directory) if family.scores else _vectors(family, directory)
    (directory / "references.json").write_text(json.dumps(found, ensure_ascii=False) + "\n")


def _vectors(family: Family, directory: Path) -> dict[str, Any]:
    model = SentenceTransformer(str(directory), device="cpu")
    found = {"vectors": _listed([model.encode(text) for text in TEXTS])}
    if "config_sentence_transformers.json" in family.files:
        found["query"] = _listed([model.encode(text, prompt_name="query") for text in TEXTS])
    return found


def vectors_of(directory: Path, texts: list[str]) -> list[list[float]]:
    """Returns the vectors of a model on disk."""
    model = SentenceTransformer(str(directory), device="cpu")
    return _listed([model.encode(text) for text in texts])


def _scores(family: Family, directory: Path) -> dict[str, Any]:
    if family.scores == "CrossEncoder":
        model = CrossEncoder(str(directory), device="cpu")
        return {"scores": [float(model.predict(pair)) for pair in PAIRS]}
    tokenizer = AutoTokenizer.from_pretrained(directory)
    kind = AutoModelForSequenceClassification if family.scores == "classifier" else AutoModelForCausalLM
    model = kind.from_pretrained(directory, dtype=torch.float32).eval()
    found = {}
    for name, instruction in (("scores", _TASK), ("instructed", INSTRUCTION)):
        found[name] = [
            _judged(model, tokenizer, f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {text}") for query, text in PAIRS
        ]
    return found


@torch.no_grad()
def _judged(model: Any, tokenizer: Any, body: str) -> float:
    ids = [tokenizer.encode(part, add_special_tokens=False) for part in (_PREFIX, body, _SUFFIX)]
    logits = model(torch.tensor([[*chain(*ids)]])).logits
    if logits.ndim == 2:
        return float(torch.sigmoid(logits[0, 0]))
    answers = logits[0, -1, [tokenizer.convert_tokens_to_ids(word) for word in ("no", "yes")]]
    return float(torch.nn.functional.log_softmax(answers, dim=0)[1].exp())


def _listed(vectors: list[np.ndarray]) -> list[list[float]]:
    return [[round(float(number), 8) for number in vector] for vector in vectors]
