"""Rendered conversations in which pictures and films take the places that the template has kept for them."""

from collections.abc import Sequence

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media, MediaKind
from mlxd.worker.text.framed_tokenizer import FramedTokenizer
from mlxd.worker.text.media_processor import MediaProcessor, SeenMedia
from mlxd.worker.text.seen import PlacedMedia

_NAMES = {MediaKind.IMAGE: "pictures", MediaKind.VIDEO: "films"}


class MediaText:
    """What a model's processor makes of the text that its chat template writes. ``begin`` are the tokens of ``begins``, which processors
    put before a conversation whose template does not: those of text models never do.
    """

    def __init__(self, tokenizer: FramedTokenizer, processor: MediaProcessor, begins: str | None) -> None:
        self._tokenizer = tokenizer
        self._kinds = {spelling: kind for kind, spelling in processor.placeholders.items()}
        self._fillers = frozenset(processor.fillers.values())
        self._begins = begins
        added = tokenizer.encode_text("", add_special_tokens=True)
        self._begin = added if begins and len(added) == 1 and added == tokenizer.encode_text(begins, add_special_tokens=False) else []

    def written(self, rendered: str, seen: Sequence[SeenMedia], media: Sequence[Media]) -> str:
        """Returns the text with what was made of ``media`` in the place of its placeholders. Raises ``InvalidRequestError`` where the
        template writes others than there are.
        """
        if not media:
            return rendered
        found = [match for match in self._tokenizer.spelled(rendered) if match[0] in self._kinds]
        if [self._kinds[match[0]] for match in found] != [one.kind for one in media]:
            raise self._misplaced([self._kinds[match[0]] for match in found], media)
        pieces, begin = [], 0
        for match, one in zip(found, seen, strict=True):
            pieces += [rendered[begin : match.start()], one.text]
            begin = match.end()
        return "".join([*pieces, rendered[begin:]])

    def placed(self, text: str, tokens: list[int], seen: Sequence[SeenMedia]) -> PlacedMedia:
        """Returns the tokens of ``text`` with all placeholders of each picture and film."""
        begun = tokens if not self._begin or (self._begins and text.startswith(self._begins)) else [*self._begin, *tokens]
        return PlacedMedia.of(begun, seen, self._fillers) if seen else PlacedMedia(begun)

    @staticmethod
    def _misplaced(found: Sequence[MediaKind], media: Sequence[Media]) -> InvalidRequestError:
        """Names the first one that has no place."""
        beside = enumerate(zip(found, media, strict=False))
        at = next((index for index, (kind, one) in beside if kind is not one.kind), min(len(found), len(media)))
        param = media[at].param if at < len(media) else "messages"
        pairs = [(name, found.count(kind), sum(one.kind is kind for one in media)) for kind, name in _NAMES.items()]
        counts = [f"{places} {name} where there are {there}" for name, places, there in pairs if places or there]
        return InvalidRequestError(f"the model's chat template has places for {' and '.join(counts)}", param=param)
