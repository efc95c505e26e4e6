"""What constraints allow next, worked out on threads of their own while the device computes."""

import os
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Place:
    """Where an answer is, or would be behind some guesses: its constraint there, and what that allows."""

    constraint: TokenConstraint
    mask: bytes | None

    @classmethod
    def of(cls, constraint: TokenConstraint) -> "_Place":
        """Returns the place of a constraint. Raises what it raises, and ``GenerationError`` where it allows nothing."""
        mask = constraint.allowed()
        if mask is not None and not mask.strip(b"\0"):
            raise GenerationError("what was asked of this answer's form allows no token here")
        return cls(constraint, mask)

    def allows(self, token: int) -> bool:
        """Tells whether a token may come here."""
        return self.mask is None or (token // 8 < len(self.mask) and bool(self.mask[token // 8] >> token % 8 & 1))

    def after(self, token: int) -> "_Place":
        """Returns the place behind a token, by a constraint of its own; raises as ``of`` does."""
        constraint = self.constraint.copy()
        constraint.accept(token)
        return _Place.of(constraint)


@dataclass(frozen=True)
class _Places:
    """The places behind the tokens ``guessed``, the first of them behind no guess; as many as could be worked out."""

    places: tuple[_Place, ...]
    guessed: tuple[int, ...] = ()

    def known(self, tokens: Sequence[int]) -> int:
        """Returns how many of ``tokens``, but for the last, lie before a place that is known."""
        most = min(len(tokens) - 1, len(self.places) - 1)
        return next((at for at in range(most) if tokens[at] != self.guessed[at]), most)


class NextMask:
    """What one answer's next token may be. Each of its tokens is accepted once, in order."""

    def __init__(self, constraint: TokenConstraint, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self.future: Future[_Places] = pool.submit(_begun, constraint)

    def guess(self, tokens: tuple[int, ...]) -> None:
        """Has the masks behind tokens that may come next worked out, too; returns at once. The next that is accepted ends it."""
        self.future = self._pool.submit(_guessed, self.future, tokens)

    def accept(self, tokens: Sequence[int]) -> None:
        """Has the tokens taken in, and the mask behind them worked out; returns at once."""
        self.future = self._pool.submit(_accepted, self.future, tokens)

    @property
    def is_ready(self) -> bool:
        """Tells whether ``wait`` returns at once."""
        return self.future.done()

    def wait(self, guesses: int = 0) -> bytes | None:
        """Returns the mask as ``TokenConstraint.allowed`` does, behind every token that was accepted, and so many that were guessed. Raises
        what the constraint raises, and ``GenerationError`` where it allows nothing, or not the guesses.
        """
        places = self.future.result().places
        if guesses >= len(places):
            raise GenerationError("what was guessed is not what was asked of this answer's form")
        return places[guesses].mask


def wait_for_all(masks: Collection[NextMask], seconds: float) -> None:
    """Waits until all of the masks are ready, but not longer than so many seconds."""
    wait([mask.future for mask in masks], timeout=max(0.0, seconds))


def wait_for_any(masks: Collection[NextMask]) -> None:
    """Waits until one of the masks is ready."""
    wait([mask.future for mask in masks], return_when=FIRST_COMPLETED)


def _begun(constraint: TokenConstraint) -> _Places:
    return _Places((_Place.of(constraint),))


def _guessed(before: "Future[_Places]", tokens: tuple[int, ...]) -> _Places:
    """Returns the places behind the guesses, as far as these may come. A constraint that raises behind a guess says nothing yet: it will
    where the guess was right.
    """
    found = [before.result().places[0]]  # it began earlier, so a thread is done with it, or at it
    for token in tokens:
        if not found[-1].allows(token):
            break
        try:
            found.append(found[-1].after(token))
        except Exception:  # noqa: BLE001 - whatever a constraint raises
            break
    return _Places(tuple(found), tokens)


def _accepted(before: "Future[_Places]", tokens: Sequence[int]) -> _Places:
    """Returns the place behind the tokens. A constraint that has raised is asked nothing more."""
    places = before.result()
    known = places.known(tokens)
    constraint = places.places[known].constraint
    for token in tokens[known:]:
        constraint.accept(token)
    return _begun(constraint)
