"""How many guesses of each sequence pay."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

_WORTH = 1.05  # times as many tokens a second: less is not worth the risk that what is known is wrong


@dataclass(frozen=True)
class Choice:
    """So many guesses of each sequence; by them the device gives ``rate`` tokens a second."""

    rate: float
    wanted: Mapping[str, int] = field(default_factory=dict)


def worthwhile(
    streams: int, chances: Mapping[str, Sequence[float]], seconds: Sequence[float], added: Callable[[str, int], float] = lambda *_: 0.0
) -> Choice:
    """Returns how many guesses of each sequence a step should verify: those with which the device gives the most tokens a second.

    Each of ``streams`` sequences gets a token in any case. ``chances`` are those of the guesses of one sequence, first to last, and fall:
    a guess counts only where those before it are right. A step with ``n`` guesses takes ``seconds[n]``, and what they take to be made:
    ``added`` is asked guess by guess what it adds, by its sequence and its place.
    """
    best = Choice(_WORTH * streams / seconds[0])
    chosen: dict[str, int] = {}
    tokens, making = float(streams), 0.0
    heap = [(-values[0], name, 0) for name, values in chances.items() if values]
    heapq.heapify(heap)
    for taken in seconds[1:]:
        if not heap:
            break
        chance, name, at = heap[0]
        tokens -= chance
        making += added(name, at)
        chosen[name] = at + 1
        if at + 1 < len(chances[name]):
            heapq.heapreplace(heap, (-chances[name][at + 1], name, at + 1))
        else:
            heapq.heappop(heap)
        if tokens / (taken + making) > best.rate:
            best = Choice(tokens / (taken + making), dict(chosen))
    return best
