"""A logits processor that fails for one sequence only."""

from typing_extensions import override

from mlxd.worker.runtime.sampling.logits_processor import LogitsProcessor


class Broken(LogitsProcessor):
    """Raises at the third token of requests with the seed 13, of whoever else is in the batch."""

    def __init__(self):
        self.came = {}

    @override
    def open(self, request):
        if request.sampling.seed == 13:
            self.came[request.id] = 0

    @override
    def close(self, sequence):
        self.came.pop(sequence, None)

    @override
    def concerns(self, sequence):
        return sequence in self.came

    @override
    def apply(self, logits, rows):
        if any(self.came.get(row.sequence, 0) + len(row.guessed) >= 2 for row in rows if row.sequence in self.came):
            raise ValueError("no token fits the grammar")
        return logits

    @override
    def add(self, new):
        for name, length in zip(new.sequences, new.lengths, strict=True):
            if name in self.came:
                self.came[name] += length


class BrokenWhenTold(Broken):
    """Raises when it is told the second token instead."""

    @override
    def apply(self, logits, rows):
        return logits

    @override
    def add(self, new):
        super().add(new)
        if any(self.came.get(name, 0) >= 2 for name in new.sequences):
            raise ValueError("no token fits the grammar")
