"""What a person sees when the daemon starts: where it listens, what it serves, and a line to try."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

_QUESTION = "What is the capital of France?"


@dataclass(frozen=True)
class BannerModel:
    name: str
    source: str
    state: str


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
        lines += ["", "Try:", f"  {_curl(inference[0], models[0].name)}"]
    return "\n".join(lines)


def _curl(url: str, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": _QUESTION}], "temperature": 0}
    where = f"--unix-socket {url.removeprefix('unix:')} http://localhost" if url.startswith("unix:") else url
    return f"curl {where}/v1/chat/completions -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
