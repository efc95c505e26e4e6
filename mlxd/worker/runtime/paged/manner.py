"""The manners in which a model can compute over a paged cache, the best first. Which of them is right for a model, its proof tells."""

from enum import Enum, auto

from mlxd.worker.runtime.paged.calls import Layout


class Manner(Enum):
    """What the model's attention is given: keys and values where they lie, for it to hand on to ours, or copies to compute with itself."""

    IN_PLACE = auto()
    PROMPTS_COPIED = auto()  # where a prompt's chunk is a row of the batch; rows that decode read in place
    COPIED = auto()  # with a mask for sequences of different lengths
    COPIED_BY_GROUP = auto()  # as before, with a mask for scores that have an axis for the heads that share a key
    ALONE = auto()  # sequence by sequence, as mlx-lm calls it: whatever a model makes of its cache, it finds there what it expects

    @property
    def told(self) -> str:
        """Returns for people what is special about it; empty where nothing is."""
        return _TOLD[self]

    def layout(self, *, has_states: bool) -> Layout:
        """Returns what a row of the batch is."""
        if self is Manner.ALONE:
            return Layout.CHUNKS
        return Layout.TOKENS if self is Manner.IN_PLACE and not has_states else Layout.SEQUENCES

    def copies(self, length: int) -> bool:
        """Tells whether rows of so many tokens are given copies."""
        return self is not Manner.IN_PLACE and (length > 1 or self is not Manner.PROMPTS_COPIED)


_TOLD = {
    Manner.IN_PLACE: "",
    Manner.PROMPTS_COPIED: "prompts attend to copies of keys and values",
    Manner.COPIED: "its attention is given copies of keys and values",
    Manner.COPIED_BY_GROUP: "its attention is given copies of keys and values",
    Manner.ALONE: "its sequences are computed one after the other",
}
