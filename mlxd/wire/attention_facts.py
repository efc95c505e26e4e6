"""How the rows of a model attend that decode, and why: found out when the model is loaded, and shown to people."""

import msgspec

from mlxd.types import AttentionState, AttentionWay, AttentionWish


class AttentionWayFacts(msgspec.Struct, frozen=True):
    """One way to attend, what became of it, and why."""

    way: AttentionWay
    state: AttentionState
    reason: str


class AttentionFacts(msgspec.Struct, frozen=True):
    """All ways to attend, and the one that the configuration names."""

    wish: AttentionWish
    ways: list[AttentionWayFacts] = []

    @property
    def used(self) -> list[AttentionWay]:
        """Returns the ways that steps get."""
        return [one.way for one in self.ways if one.state is AttentionState.USED]
