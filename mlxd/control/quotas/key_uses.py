"""What the holders of all keys use, by their names."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlxd.config.principal import Principal
from mlxd.control.quotas.key_use import Clock, KeyUse


@dataclass(frozen=True)
class Holding:
    """A holder of a key, and what it uses."""

    holder: Principal
    use: KeyUse


class KeyUses:
    """``holders`` gives those of the running configuration, and is asked each time. What the holder of a removed key has used is kept as
    long as it counts: a key that is removed and comes back within a minute does not begin anew.
    """

    def __init__(self, holders: Callable[[], Iterable[Principal]], clock: Clock = time.monotonic) -> None:
        self._holders = holders
        self._clock = clock
        self._uses: dict[str, KeyUse] = {}

    def of(self, holder: Principal) -> KeyUse:
        """Returns what this holder uses."""
        known = self._uses.get(holder.name)
        if known is None:
            self._forget()
            known = self._uses[holder.name] = KeyUse(holder.name, self._clock)
        return known

    def current(self) -> list[Holding]:
        """Returns the holders of the running configuration, in the file's order."""
        return [Holding(holder, self.of(holder)) for holder in self._holders()]

    def _forget(self) -> None:
        current = {holder.name for holder in self._holders()}
        self._uses = {name: use for name, use in self._uses.items() if name in current or not use.is_idle}
