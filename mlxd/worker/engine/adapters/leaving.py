"""A slot whose adapter is gone, until its memory is given back."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)


@dataclass
class Leaving:
    """A slot that is being freed, a layer at a time, by what ``drop`` returns."""

    slot: int
    drop: Callable[[int], Iterator[None]]
    is_over: bool = False
    _dropping: Iterator[None] = field(init=False)
    _trouble: str = ""

    def __post_init__(self) -> None:
        self._dropping = self.drop(self.slot)

    def free(self) -> bool:
        """Gives back the memory of one more layer. Returns False where the device could not: that concerns no request that runs, and what
        is left is to be tried again.
        """
        try:
            next(self._dropping)
        except StopIteration:
            self.is_over = True
        except Exception as error:  # noqa: BLE001 - whatever a device says
            if repr(error) != self._trouble:
                _log.exception("the memory of an adapter could not be given back yet")
            self._dropping, self._trouble = self.drop(self.slot), repr(error)
            return False
        return True
