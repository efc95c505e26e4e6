"""A model that sees, without a model: a picture is as many placeholders as its file has bytes, a film as many for each of its frames."""

from hashlib import blake2b

from tokenizers import AddedToken

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media, MediaKind
from mlxd.worker.encoded_prompt import Grid, MediaInput, MediaSpan, Tensor
from mlxd.worker.text.media_processor import SeenMedia
from tests.support.prompt_tokenizer import PromptTokenizer
from tests.support.tiny_model import VOCAB, make_tokenizer

PICTURE, FILM, SEEN, BREAK = "<pic>", "<film>", "<seen>", "<break>"
SEEN_ID = VOCAB + 2
VOCABULARY = VOCAB + 4


def seeing_tokenizer(*, special: bool = True, **settings) -> PromptTokenizer:
    """In some vocabularies these tokens are no ``special`` ones."""
    inner = make_tokenizer()
    added = [AddedToken(text, special=special, normalized=False) for text in (PICTURE, FILM, SEEN, BREAK)]
    inner.add_special_tokens(added) if special else inner.add_tokens(added)
    return PromptTokenizer(inner, **settings)


class FakeProcessor:
    def __init__(self):
        self.placeholders = {MediaKind.IMAGE: PICTURE, MediaKind.VIDEO: FILM}
        self.fillers = {SEEN: SEEN_ID}
        self.processed: list[Media] = []

    def process(self, media: Media) -> SeenMedia:
        self.processed.append(media)
        if media.files == [b"damaged"]:
            raise InvalidRequestError("this picture is damaged", param=media.param)
        content = blake2b(repr((media.kind, media.files, media.fps)).encode(), digest_size=16).digest()
        counts, first, spans = [len(file) for file in media.files], 0, []
        for count in counts:
            spans.append(MediaSpan(first, first + count, content, first, Grid(1, 1, count)))
            first += count
        text = BREAK.join([f"\n{SEEN}\n"] * len(counts))
        tensors = {"pixels": Tensor("uint8", (first,), b"".join(media.files))}
        return SeenMedia(text, tuple(spans), MediaInput(content, tensors, first))


def picture(content: bytes = b"abc", at: int = 0, **fields) -> Media:
    return Media(kind=MediaKind.IMAGE, files=[content], at=at, **fields)


def film(*frames: bytes, at: int = 0, **fields) -> Media:
    return Media(kind=MediaKind.VIDEO, files=list(frames), at=at, **fields)
