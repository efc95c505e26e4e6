"""The way from a draft model's source to a model that drafts, or to the reason why it cannot."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlxd.errors import DraftModelError, ModelSourceError
from mlxd.wire.messages import Load
from mlxd.wire.model_facts import DraftFacts
from mlxd.worker.fetch.progress import Progress
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.draft.vocabulary import NamedVocabulary, check_same_vocabulary, check_width
from mlxd.worker.runtime.loading import LoadedModel, OpenedModel, open_model, read_weights
from mlxd.worker.runtime.paged.attention_choice import choose_attention
from mlxd.worker.runtime.paged.build import prove_model
from mlxd.worker.runtime.paged.compiled.trial import try_compiling
from mlxd.worker.runtime.paged.layer_cache import NotPageableError
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.source import fetch_model

_NAME = "the draft model"  # in the log of a worker


class Draft:
    """The draft model that an order asks for, on its way: ``opened``, its weights not in memory yet."""

    def __init__(self, order: Load, source: str, target: OpenedModel, opened: OpenedModel) -> None:
        self._order = order
        self._target = NamedVocabulary(order.source, target.tokenizer.vocabulary)
        self._own = NamedVocabulary(source, opened.tokenizer.vocabulary)
        self._opened = opened
        check_same_vocabulary(self._target, self._own)

    @classmethod
    def open(cls, order: Load, target: OpenedModel, progress: Progress) -> "Draft | None":
        """Fetches and opens the draft model; returns None where the order asks for none.

        Raises as ``fetch_model`` and ``open_model`` do, in words that say whose draft model it is, and ``DraftModelError`` where its
        vocabulary is another.
        """
        if order.draft is None:
            return None
        with _of_draft(order.draft, order.source):
            opened = open_model(fetch_model(order.draft, progress), dtype=order.dtype, context_limit=None)
        return cls(order, order.draft, target, opened)

    @property
    def source(self) -> str:
        """Returns what the configuration names it with."""
        return self._own.source

    @property
    def weight_bytes(self) -> int:
        """Returns the bytes that its weights take, or will take."""
        return self._opened.weight_bytes

    @property
    def facts(self) -> DraftFacts:
        """Returns what an operator may want to know of it."""
        return DraftFacts(
            source=self.source, weight_bytes=self.weight_bytes, dtype=self._opened.dtype, context_length=self._opened.context.length
        )

    def load(self, target: LoadedModel) -> LoadedModel:
        """Reads its weights into memory. Raises as ``read_weights`` does, and ``DraftModelError`` where it knows too few tokens."""
        with _of_draft(self.source, self._order.source):
            loaded = read_weights(self._opened)
        check_width(self._target, self._own, target_width=target.vocab_size, draft_width=loaded.vocab_size)
        return loaded

    def prove(self, target: PagedModel, loaded: LoadedModel, sequences: int) -> DraftModel:
        """Returns the model that drafts for ``target``, for up to so many ``sequences`` at once. Raises ``DraftModelError`` where one of
        the two cannot be rewound: recurrent states go forward only.
        """
        self._check_rewinds(self._order.source, target)
        try:
            proved = prove_model(loaded, self._order.block_size)
        except NotPageableError as error:
            raise self.refusal(f"{self.source} cannot compute over a paged cache: {error.message}") from error
        self._check_rewinds(self.source, proved.model)
        choose_attention(loaded, proved, self._order.attention, sequences, _NAME)
        try_compiling(loaded, proved.model, self._order.compile, _NAME)
        return DraftModel(loaded, proved.model)

    def _check_rewinds(self, source: str, model: PagedModel) -> None:
        if model.states.exist:
            raise self.refusal(f"{source} keeps recurrent states, which cannot be rewound to the last guess that was right")

    def refusal(self, reason: str) -> DraftModelError:
        """Returns the error that says why it cannot draft."""
        return DraftModelError(f"{self.source} cannot draft for {self._order.source}: {reason}; remove speculation.draft")


@contextmanager
def _of_draft(source: str, target: str) -> Iterator[None]:
    """Says whose draft model it is that cannot be fetched, opened or read; the type of the error stays."""
    try:
        yield
    except ModelSourceError as error:
        raise type(error)(f"the draft model {source} of {target}: {error.message}") from error
