"""The first job of a worker that is to take over from a good one."""

from collections.abc import Collection

from mlxd.types import SamplingParams, Task
from mlxd.wire.jobs import Embed, Generate, Job, Score, TextPair
from mlxd.wire.prompts import TextPrompt, TokenPrompt

_ID = "probe"
_TOKENS = 4  # that are generated


def probe_of(tasks: Collection[Task]) -> Job:
    """Returns a small job that a model of these ``tasks`` can do."""
    if Task.GENERATE in tasks:
        return Generate(id=_ID, prompt=TokenPrompt(token_ids=[0, 0]), sampling=SamplingParams(temperature=0), max_tokens=_TOKENS)
    if Task.EMBED in tasks:
        return Embed(id=_ID, inputs=[TextPrompt(text="a")])
    return Score(id=_ID, pairs=[TextPair(query="a", document="b")])
