"""What constraints allow next, worked out on threads of their own while the device computes."""

import os
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from mlxd.errors import GenerationError
from mlxd.worker.engine.constraint import TokenConstraint

_MOST_THREADS = 8


class MaskPool:
    """Threads for all constraints of an engine; none is ever used by two at once. They begin with the first constraint."""

    def __init__(self) -> None:
        threads = max(1, min(_MOST_THREADS, (os.cpu_count() or 1) - 1))  # one is left for the engine
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="constraints")

    def begin(self, constraint: TokenConstraint) -> "NextMask":
        """Begins with a constraint that has accepted nothing yet."""
        return NextMask(constraint, self._pool)


class NextMask:
    """What one answer's next token may be. Each of its tokens is accepted once, in order."""

    def __init__(self, constraint: TokenConstraint, pool: ThreadPoolExecutor) -> None:
        self._constraint = constraint
        self._pool = pool
        self.future: Future[bytes | None] = pool.submit(_allowed, constraint, ())

    def accept(self, tokens: Sequence[int]) -> None:
        """Has the tokens taken in, and the mask behind them worked out; returns at once."""
        self.future = self._pool.submit(self._after, self.future, tokens)

    @property
    def is_ready(self) -> bool:
        """Tells whether ``wait`` returns at once."""
        return self.future.done()

    def wait(self) -> bytes | None:
        """Returns the mask as ``TokenConstraint.allowed`` does, behind every token that was accepted. Raises what the constraint raises,
        and ``GenerationError`` where it allows nothing.
        """
        return self.future.result()

    def _after(self, before: Future[bytes | None], tokens: Sequence[int]) -> bytes | None:
        before.result()  # it began earlier, so a thread is done with it, or at it; a constraint that has raised is asked nothing more
        return _allowed(self._constraint, tokens)


def wait_for_all(masks: Collection[NextMask], seconds: float) -> None:
    """Waits until all of the masks are ready, but not longer than so many seconds."""
    wait([mask.future for mask in masks], timeout=max(0.0, seconds))


def wait_for_any(masks: Collection[NextMask]) -> None:
    """Waits until one of the masks is ready."""
    wait([mask.future for mask in masks], return_when=FIRST_COMPLETED)


def _allowed(constraint: TokenConstraint, tokens: Sequence[int]) -> bytes | None:
    for token in tokens:
        constraint.accept(token)
    mask = constraint.allowed()
    if mask is not None and not mask.strip(b"\0"):
        raise GenerationError("what was asked of this answer's form allows no token here")
    return mask
