"""What a person sees when the daemon starts: where it listens, what it serves, and a line to try."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

_QUESTION = "What is the capital of France?"
_DOCUMENTS = ["Berlin is the capital of Germany.", "Paris is the capital of France."]


@dataclass(frozen=True)
class BannerModel:
    name: str
    source: str
    state: str
    task: Literal["auto", "generate", "embed", "rerank"] = "auto"  # as configured


def banner(version: str, config: str, inference: Sequence[str], admin: Sequence[str], models: Sequence[BannerModel]) -> str:
    """Returns the text, without a trailing newline. ``inference`` and ``admin`` are where it really listens: ``http://127.0.0.1:8000``,
    ``unix:/path``.
    """
    width = max((len(model.name) for model in models), default=0)
    rows = [
        ("inference", ", ".join(inference)),
        ("admin", ", ".join(admin)),
        *(("model", f"{model.name:<{width}}  {model.source}  ({model.state})") for model in models),
    ]
    lines = [f"mlxd {version}, serving {config}", *(f"  {label:<10} {text}" for label, text in rows)]
    if inference and models:
        # What has no task in the file most likely generates: what it is for is known once it is loaded.
        generating = [model for model in models if model.task in ("auto", "generate")]
        lines += ["", "Try:", f"  {_curl(inference[0], (generating or models)[0])}"]
    return "\n".join(lines)


def _curl(url: str, model: BannerModel) -> str:
    path, body = _request(model)
    where = f"--unix-socket {url.removeprefix('unix:')} http://localhost" if url.startswith("unix:") else url
    return f"curl {where}{path} -H 'Content-Type: application/json' -d '{json.dumps(body)}'"


def _request(model: BannerModel) -> tuple[str, dict[str, Any]]:
    """Returns the path of a request that the model can answer, and its body."""
    match model.task:
        case "embed":
            return "/v1/embeddings", {"model": model.name, "input": _QUESTION}
        case "rerank":
            return "/v1/rerank", {"model": model.name, "query": _QUESTION, "documents": _DOCUMENTS}
        case _:
            return "/v1/chat/completions", {"model": model.name, "messages": [{"role": "user", "content": _QUESTION}], "temperature": 0}
