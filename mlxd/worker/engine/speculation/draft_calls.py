"""What it takes a draft model to guess: one call for the first guesses of all sequences, one for the second ones, and so on. It is pure."""

from collections.abc import Callable, Collection

from mlxd.worker.engine.executor import Drafting

_FIRST, _GROWTH = 2, 2  # guesses of the first step that has any; and the next has no more than so many times as many
_KEEP = 0.95  # what is known weighs so much, once something more is
_FURTHEST = 2.0  # steps; a call that takes longer counts as so long, for it may be another process's fault
_FORGET = 0.002  # of what is known, at each step without a call: some day it is tried again
_ROW = 0.05  # of a call, that one more row is thought to take before calls of several sizes were seen


class DraftCalls:
    """The time of a draft model's calls, as shares of the step that its guesses are verified in: a device that is slower at times is so for
    both. A call is thought to take ``share`` of a step before any was seen; then a line is laid through those that were, by their rows.
    """

    def __init__(self, share: float) -> None:
        self.most = _FIRST  # guesses of a sequence that should be tried: more than that might take who knows how long
        self._thought = share
        self._is_ready = False  # the device has made ready for such calls: it does so at the first
        self._weight = 0.2  # of all that was seen, and of what is thought
        self._rows, self._share = 1.0, share  # means
        self._spread = self._lean = 0.0  # of rows about their mean, and of shares with rows

    def observe(self, drafting: Drafting, step: float) -> None:
        """Learns from the calls of one step, which without them should have taken so many seconds."""
        self.most = max(self.most, _GROWTH * len(drafting.rows))
        if not self._is_ready:
            self._is_ready = True
            return
        calls = len(drafting.rows)
        rows, share = sum(drafting.rows) / calls, min(drafting.seconds / calls / step, _FURTHEST)
        self._weight = _KEEP * self._weight + 1
        off, part = rows - self._rows, 1 / self._weight
        self._rows += part * off
        self._spread = _KEEP * self._spread + off * (rows - self._rows)
        self._lean = _KEEP * self._lean + off * (share - self._share)
        self._share += part * (share - self._share)

    def fade(self) -> None:
        """Lets what is known count a little less than what was thought, for nobody tries whether it is still so."""
        self._share += _FORGET * (self._thought - self._share)

    def of(self, rows: int) -> float:
        """Returns the share of a step that a call takes of so many rows; more rows never take less."""
        slope = max(0.0, (self._lean + _ROW * self._share) / (self._spread + 1))
        return max(0.1 * self._share, self._share + slope * (rows - self._rows))


class Rounds:
    """The calls that guesses take which are chosen one by one; ``call`` returns the seconds of one of so many rows. Only sequences of
    ``guessed`` are guessed by the model; guesses of others cost nothing to make.
    """

    def __init__(self, guessed: Collection[str], call: Callable[[int], float]) -> None:
        self._guessed = guessed
        self._call = call
        self._rows: list[int] = []

    def add(self, sequence: str, at: int) -> float:
        """Takes in the guess ``at``, from 0 on, of a sequence that has those before it; returns the seconds that it adds."""
        if sequence not in self._guessed:
            return 0.0
        if at == len(self._rows):
            self._rows.append(0)
        self._rows[at] += 1
        return self._call(self._rows[at]) - (self._call(self._rows[at] - 1) if self._rows[at] > 1 else 0.0)
