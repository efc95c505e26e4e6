"""Tokenizers as conversions from sentencepiece have them: a mark for spaces, and tokens for the bytes that no piece spells."""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

KINDS = ("llama 2", "mistral", "gemma", "unigram")
UNK, BOS, END = 0, 1, 2
SPACE = "\u2581"

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_WORDS = ("the", "name", "city", "true", "false", "null", "yes", "no", "Paris", "12", "200", "item", "kind", "get_", "weather")
_PIECES = [
    SPACE,
    *(SPACE * size for size in (2, 3, 4, 8)),
    *(chr(letter) for letter in range(33, 127)),
    *"éüßñ中日ключ",
    *('":', '",', '{"', '"}', "},", "[{", "}]", "],", '"]', "))", "://"),
    *(SPACE + piece for piece in ("{", '"', '{"', "[", "[{", "}", "0", "1", "-", "<")),
    *(word[:size] for word in _WORDS for size in range(2, len(word) + 1)),  # merged letter by letter
    *(SPACE + word for word in _WORDS),
]


def make_sentencepiece(kind: str, *markers: str) -> Tokenizer:
    """A tokenizer of one of ``KINDS``, with ``markers`` as control tokens. It has no piece for a new line, as theirs have not."""
    pieces = ["<unk>", "<s>", "</s>", *_BYTES, *dict.fromkeys(_PIECES)]
    tokenizer = Tokenizer(_model(kind, pieces))
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    match kind:
        case "llama 2":
            tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
            steps.append(decoders.Strip(" ", 1, 0))
        case "mistral":
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        case "gemma":
            tokenizer.normalizer = normalizers.Replace(" ", SPACE)
        case _:
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<unk>", "<s>", "</s>", *markers)])
    return tokenizer


def _model(kind: str, pieces: list[str]) -> models.Model:
    if kind == "unigram":
        return models.Unigram([(piece, -float(place)) for place, piece in enumerate(pieces)], unk_id=UNK, byte_fallback=True)
    vocab = {piece: place for place, piece in enumerate(pieces)}
    merges = [(piece[:cut], piece[cut:]) for piece in _PIECES for cut in range(1, len(piece)) if {piece[:cut], piece[cut:]} <= vocab.keys()]
    return models.BPE(vocab=vocab, merges=list(dict.fromkeys(merges)), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
