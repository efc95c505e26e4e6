"""Messages for a worker, short to write."""

from mlxd.types import Limits, ResolvedLimits, SamplingParams
from mlxd.wire.jobs import Generate
from mlxd.wire.messages import Load
from mlxd.wire.prompts import ChatPrompt, Prompt, TextPrompt


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
    )


def resolved(limits: Limits) -> ResolvedLimits:
    """As a worker without memory would have them."""
    return ResolvedLimits.of(limits, limits.cache_bytes or 0)


def prompt_text(prompt: Prompt) -> str:
    """The last message, or the text, or the token ids as words."""
    match prompt:
        case ChatPrompt(messages=messages):
            return messages[-1].content
        case TextPrompt(text=text):
            return text
        case tokens:
            return " ".join(str(token) for token in tokens.token_ids)


class Watcher:
    """A ``LoadWatcher`` that remembers. ``on``: what else to do, by the name of the method."""

    def __init__(self, **on):
        self.progress, self.needs, self.steps = [], [], []
        self._on = on

    def on_progress(self, progress):
        self.progress.append(progress)
        self._also("progress", progress)

    async def on_need(self, needs):
        self.needs.append(needs)
        self._also("need", needs)

    def on_step(self, stats):
        self.steps.append(stats)
        self._also("step", stats)

    def _also(self, name, value):
        if name in self._on:
            self._on[name](value)


def generate(text: str, request_id: str = "r1", *, max_tokens: int | None = None) -> Generate:
    return Generate(id=request_id, prompt=TextPrompt(text=text), sampling=SamplingParams(), max_tokens=max_tokens)
