"""Messages for a worker, short to write."""

from mlxd.types import Limits, SamplingParams
from mlxd.wire.messages import Generate, Load, TextPrompt


def load(source: str = "fake/ok", *, heartbeat_interval: float = 0.05) -> Load:
    return Load(
        model="tiny",
        source=source,
        dtype="auto",
        context_length=None,
        mode="simple",
        cache_kind="entries",
        block_size=16,
        limits=Limits(cache_entries=8),
        heartbeat_interval=heartbeat_interval,
        log_level="info",
    )


def generate(text: str, request_id: str = "r1", *, max_tokens: int | None = None) -> Generate:
    return Generate(id=request_id, prompt=TextPrompt(text=text), sampling=SamplingParams(), max_tokens=max_tokens)
