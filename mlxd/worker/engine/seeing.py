"""Sequences that wait until pictures and films of their prompts are encoded, while others run."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from typing_extensions import override

from mlxd.media_terms import MediaFigures, MediaKind
from mlxd.worker.encoded_prompt import MediaInput
from mlxd.worker.engine.embeddings import Embeddings
from mlxd.worker.engine.executor import Encoded
from mlxd.worker.engine.plan import Encode
from mlxd.worker.engine.seen_spans import SeenSpans
from mlxd.worker.engine.sequence import Sequence

AHEAD = 4  # of those that wait, for how many is encoded before there is a place for them
_MOST = 16  # pictures in one step
_SHARE = 0.5  # of the time, for the smallest of them where others came before it

Running = Mapping[str, Sequence]


class Seeing:
    """What there is to decide about a model that sees nothing: nothing is encoded, and nobody waits."""

    @property
    def is_blind(self) -> bool:
        """Tells whether no room need be kept for embeddings."""
        return True

    @property
    def figures(self) -> MediaFigures | None:
        """Returns what was seen, and what is kept of it; None for a model that sees nothing."""
        return None

    def limit_to(self, size: int) -> None:
        """Keeps no more than so many bytes of embeddings that nobody needs, from the next step on."""

    def add(self, sequence: Sequence) -> None:
        """Takes in a new sequence."""

    def forget(self, request_id: str) -> None:
        """Takes in that a sequence is over."""

    def started(self, sequence: Sequence) -> None:
        """Takes in that a sequence has begun, behind what the cache has of it."""

    def reach(self, sequence: Sequence) -> int:
        """Returns how many tokens of a sequence may be computed before something is encoded that they need."""
        return sequence.length

    def is_wanted(self, running: Iterable[Sequence]) -> bool:  # noqa: ARG002
        """Tells whether any of those that run needs something that is not encoded."""
        return False

    def let_go(self, running: Running) -> tuple[bytes, ...]:  # noqa: ARG002
        """Returns whose embeddings, whole or under way, are to be let go before the step that is being planned."""
        return ()

    def encodes(self, running: Iterable[Sequence], waiting: Iterable[Sequence], seconds: float) -> tuple[Encode, ...]:  # noqa: ARG002
        """Returns what is encoded in a step that has ``seconds`` for that: for those that run, in order, then for those that are next."""
        return ()

    def spared(self, seconds: float) -> float:
        """Returns what streams have to spare for encoding of ``seconds`` in a step: less what it took too long in those before."""
        return seconds

    def lasting(self, seconds: float) -> float:
        """Returns how long encoding takes, from what it has taken, in a step that has ``seconds`` for that."""
        return seconds

    def observe(self, encoded: Encoded) -> Mapping[str, Exception]:  # noqa: ARG002
        """Takes in what a step encoded. Returns the sequences that have failed because something could not be."""
        return {}

    def to_encode(self, spans: SeenSpans, start: int) -> int:  # noqa: ARG002
        """Returns how many embeddings a prompt needs behind its first ``start`` tokens that are not there."""
        return 0

    def evict(self, running: Running) -> int:  # noqa: ARG002
        """Lets go, with the next step, of what is kept for later requests only; returns how many pictures that was."""
        return 0

    def reset(self) -> None:
        """Takes in that after a fault all embeddings are gone."""


class MediaSeeing(Seeing):
    """What is decided about the pictures and films of prompts, step by step: what is encoded, and what is kept of it.

    Each is encoded once for all that need it, those of the first in order first; but half of the time is for the smallest one, so that
    none waits much longer than twice what it takes itself, whatever film came before it. What running sequences need is kept; what comes
    next is encoded only where there is room for it beside that, but for the first of all, so that there is always somebody who goes on.

    ``embedding_bytes`` are what one embedding takes, as far as that is known before.
    """

    def __init__(self, embedding_bytes: int) -> None:
        self._embeddings = Embeddings(embedding_bytes)
        self._askers: dict[bytes, dict[str, Sequence]] = {}
        self._known: dict[str, Sequence] = {}
        self._begun: dict[bytes, int] = {}  # neither done nor failed, and how many embeddings it becomes
        self._for_whom: dict[bytes, str] = {}  # something was encoded first, while that one is known
        self._wanted: dict[bytes, list[str]] = {}  # by whom, in the step that is planned or computed
        self._dropped: list[bytes] = []  # that are to be let go with the next step
        self._planned = 0.0  # seconds
        self._overrun = 0.0  # beyond which encoding took, last
        self._debt = 0.0  # of this, what streams were not given back yet
        self._images = self._videos = self._tokens = self._hits = self._misses = self._encoded = self._failed = 0
        self._seconds = 0.0

    @property
    @override
    def is_blind(self) -> bool:
        return False

    @property
    @override
    def figures(self) -> MediaFigures:
        return MediaFigures(
            images=self._images,
            videos=self._videos,
            tokens=self._tokens,
            hits=self._hits,
            misses=self._misses,
            encoded=self._encoded,
            failed=self._failed,
            encode_seconds=self._seconds,
            evicted=self._embeddings.evicted,
            kept=len(self._embeddings),
            bytes=self._embeddings.bytes,
            limit_bytes=self._embeddings.limit,
        )

    @override
    def limit_to(self, size: int) -> None:
        self._embeddings.limit = size

    @override
    def add(self, sequence: Sequence) -> None:
        if sequence.media.inputs:
            self._known[sequence.id] = sequence
            for content in sequence.media.inputs:
                self._askers.setdefault(content, {})[sequence.id] = sequence

    @override
    def forget(self, request_id: str) -> None:
        sequence = self._known.pop(request_id, None)
        for content in () if sequence is None else sequence.media.inputs:
            del self._askers[content][request_id]
            if not self._askers[content]:
                del self._askers[content]
            if self._for_whom.get(content) == request_id:
                del self._for_whom[content]

    @override
    def started(self, sequence: Sequence) -> None:
        for one in sequence.media.inputs.values():
            self._images += one.kind is MediaKind.IMAGE
            self._videos += one.kind is MediaKind.VIDEO
        self._tokens += sum(len(span) for span in sequence.media.behind(0))
        needed = sequence.media.contents(sequence.computed)
        self._embeddings.use(needed)
        for content in needed:
            is_hit = (content in self._embeddings or content in self._begun) and self._for_whom.get(content) != sequence.id
            self._hits += is_hit
            self._misses += not is_hit

    @override
    def reach(self, sequence: Sequence) -> int:
        lacking = set(self._lacking(sequence, sequence.computed))
        if not lacking:
            return sequence.length
        first = next(span for span in sequence.media.behind(sequence.computed) if span.content in lacking)
        return max(first.start, sequence.computed)

    @override
    def is_wanted(self, running: Iterable[Sequence]) -> bool:
        return any(True for one in running for _ in self._lacking(one, one.computed))

    @override
    def let_go(self, running: Running) -> tuple[bytes, ...]:
        needed = {content for one in running.values() for content in one.media.contents(one.computed)}
        abandoned = [content for content in self._begun if content not in needed and not self._is_waited_for(content, running)]
        for content in abandoned:
            del self._begun[content]
        self._embeddings.use(needed)
        gone = self._embeddings.make_room(self._coming, needed, lambda content: self._is_waited_for(content, running))
        dropped, self._dropped = self._dropped, []
        return (*dropped, *abandoned, *gone)

    @override
    def spared(self, seconds: float) -> float:
        left, self._debt = seconds - self._debt, max(0.0, self._debt - seconds)
        return max(0.0, left)

    @override
    def encodes(self, running: Iterable[Sequence], waiting: Iterable[Sequence], seconds: float) -> tuple[Encode, ...]:
        needed: set[bytes] = set()
        self._wanted = {}
        for one in running:
            needed.update(one.media.contents(one.computed))
            self._want(one, one.computed)
        now = len(self._wanted)
        for one in () if now >= _MOST else waiting:
            self._want(one, one.findable)
        chosen = self._chosen(needed, now)
        self._planned = seconds if chosen else 0.0
        return tuple(self._encode(content, share) for content, share in self._shares(chosen, seconds))

    def _want(self, sequence: Sequence, start: int) -> None:
        for content in self._lacking(sequence, start):
            self._wanted.setdefault(content, []).append(sequence.id)

    def _chosen(self, needed: Collection[bytes], now: int) -> list[bytes]:
        """Returns what is encoded, in order, of what is wanted; the first ``now`` of these are for those that run, and among what they
        ``needed`` when the step was planned.
        """
        room = self._embeddings.limit - self._embeddings.bytes_of(needed) - self._coming
        chosen: list[bytes] = []
        for at, content in enumerate(self._wanted):
            taken = 0 if content in self._begun else self._embeddings.expected(self._input(content).count)
            if taken <= max(0, room) or (at == 0 and now):
                room -= taken
                chosen.append(content)
        return chosen[:_MOST]

    def _shares(self, chosen: list[bytes], seconds: float) -> Iterator[tuple[bytes, float]]:
        """Yields what is encoded, in order, with what each has of the time; what one leaves of it is the next one's."""
        sizes = {content: self._input(content).count for content in chosen}
        least = min(chosen, key=sizes.__getitem__, default=b"")
        if not chosen or sizes[least] >= sizes[chosen[0]]:
            yield from ((content, 0.0 if at else seconds) for at, content in enumerate(chosen))
            return
        yield chosen[0], seconds - _SHARE * seconds
        yield least, _SHARE * seconds
        yield from ((content, 0.0) for content in chosen[1:] if content != least)

    def _encode(self, content: bytes, seconds: float) -> Encode:
        if content in self._begun:
            return Encode(content, None, seconds)
        told = self._input(content)
        self._begun[content] = told.count
        self._for_whom[content] = self._wanted[content][0]
        return Encode(content, told, seconds)

    @override
    def lasting(self, seconds: float) -> float:
        return seconds + self._overrun

    @override
    def observe(self, encoded: Encoded) -> Mapping[str, Exception]:
        self._seconds += encoded.seconds
        self._overrun = self._debt = max(0.0, encoded.seconds - self._planned)
        self._encoded += len(encoded.done)
        self._failed += len(encoded.failed)
        for content in encoded.failed:
            del self._begun[content]
        for content, size in encoded.done.items():
            self._embeddings.add(content, size, self._begun.pop(content))
        return {name: error for content, error in encoded.failed.items() for name in self._wanted.get(content, ())}

    @override
    def to_encode(self, spans: SeenSpans, start: int) -> int:
        return sum(spans.inputs[content].count for content in spans.contents(start) if content not in self._embeddings)

    @override
    def evict(self, running: Running) -> int:
        needed = {content for one in running.values() for content in one.media.contents(one.computed)}
        gone = self._embeddings.evict(lambda content: content in needed or self._is_waited_for(content, running))
        self._dropped += gone
        return len(gone)

    @override
    def reset(self) -> None:
        self._embeddings.forget()
        self._begun, self._wanted, self._dropped, self._debt = {}, {}, [], 0.0

    def _lacking(self, sequence: Sequence, start: int) -> Iterator[bytes]:
        """Yields what a sequence needs behind its first ``start`` tokens that is not encoded."""
        return (content for content in sequence.media.contents(start) if content not in self._embeddings)

    def _is_waited_for(self, content: bytes, running: Collection[str]) -> bool:
        return any(name not in running for name in self._askers.get(content, ()))

    @property
    def _coming(self) -> int:
        """Returns what the embeddings will take that are under way."""
        return sum(map(self._embeddings.expected, self._begun.values()))

    def _input(self, content: bytes) -> MediaInput:
        """Returns what is to be encoded, of whoever asks for it."""
        return next(one.media.inputs[content] for one in self._askers[content].values())
