"""What is to stay in a cache, whatever runner has it."""

from dataclasses import dataclass

from mlxd.worker.encoded_prompt import CacheRoot


@dataclass(frozen=True)
class PinOrder:
    """A prompt whose beginning is to stay: its ``tokens``, or the reason why there are none."""

    name: str
    root: CacheRoot
    tokens: tuple[int, ...] = ()
    refusal: str = ""
