"""What constraints allow next, worked out on a thread of their own while the device computes."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from mlxd.errors import GenerationError
from mlxd.worker.engine.constraint import TokenConstraint


class MaskThread:
    """One thread for all constraints of an engine: none is ever used by two at once. It begins with the first constraint."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="constraints")

    def begin(self, constraint: TokenConstraint) -> "NextMask":
        """Begins with a constraint that has accepted nothing yet."""
        return NextMask(constraint, self._pool)


class NextMask:
    """What one answer's next token may be. Each of its tokens is accepted once, in order."""

    def __init__(self, constraint: TokenConstraint, pool: ThreadPoolExecutor) -> None:
        self._constraint = constraint
        self._pool = pool
        self._future: Future[bytes | None] = pool.submit(_allowed, constraint, ())

    def accept(self, tokens: Sequence[int]) -> None:
        """Has the tokens taken in, and the mask behind them worked out; returns at once."""
        self._future = self._pool.submit(self._after, self._future, tokens)

    def wait(self) -> bytes | None:
        """Returns the mask as ``TokenConstraint.allowed`` does, behind every token that was accepted. Raises what the constraint raises,
        and ``GenerationError`` where it allows nothing.
        """
        return self._future.result()

    def _after(self, before: Future[bytes | None], tokens: Sequence[int]) -> bytes | None:
        before.result()  # done, for the thread does one thing after the other; a constraint that has raised is asked nothing more
        return _allowed(self._constraint, tokens)


def _allowed(constraint: TokenConstraint, tokens: Sequence[int]) -> bytes | None:
    for token in tokens:
        constraint.accept(token)
    mask = constraint.allowed()
    if mask is not None and not mask.strip(b"\0"):
        raise GenerationError("what was asked of this answer's form allows no token here")
    return mask
