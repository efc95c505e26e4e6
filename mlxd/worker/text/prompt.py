"""A request's prompt to token ids, checked against the model before anything is computed."""

from collections.abc import Mapping, Sequence

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import MediaKind
from mlxd.wire.prompt_bounds import PromptBounds, field_of
from mlxd.wire.prompts import ChatPrompt, Prompt, TextPrompt, TokenPrompt
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt, Opening
from mlxd.worker.text.chat_encoder import ChatEncoder, EncodedChat
from mlxd.worker.text.conversation import ChatFormat
from mlxd.worker.text.framed_tokenizer import FramedTokenizer, Tokenizer
from mlxd.worker.text.media_processor import MediaProcessor
from mlxd.worker.text.media_text import MediaText
from mlxd.worker.text.seen import NOTHING, Seen


class PromptEncoder:
    """An encoder of the prompts of one model, which is the cache's ``root``; ``chat`` is None where it has no chat template, and ``media``
    where it sees nothing.

    It may be called from several threads at once.
    """

    def __init__(  # noqa: PLR0913 - what is known of a model
        self,
        tokenizer: Tokenizer,
        chat: ChatFormat | None,
        *,
        vocab_size: int,
        context_length: int,
        root: CacheRoot,
        media: MediaProcessor | None = None,
    ) -> None:
        self._bos = tokenizer.bos_token
        vocabulary = tokenizer.get_vocab()
        self._tokenizer = FramedTokenizer(tokenizer, _not_for_clients(media, vocabulary) if media else None)
        chat = chat.seeing(media.placeholders) if chat and media else chat
        text = MediaText(self._tokenizer, media, self._bos) if media else None
        self._chat = None if chat is None else ChatEncoder(self._tokenizer, chat, text)
        self.root = root
        self.has_chat = chat is not None
        self.sees = frozenset[MediaKind]() if chat is None else chat.sees
        self.media = media if self.sees else None
        self.vocab_size = vocab_size
        longest = max((len(token) for token in vocabulary), default=1)
        self.bounds = PromptBounds(context_length, longest * context_length)

    def encode(self, prompt: Prompt, max_tokens: int | None, seen: Seen = NOTHING) -> EncodedPrompt:
        """Returns the prompt's tokens; ``seen`` is what was made of its pictures and films. ``max_tokens`` is cut to what the context has
        left; where it is 0, the prompt may fill the context.

        Raises ``InvalidRequestError`` for a prompt that cannot be rendered or is empty, and ``ContextLengthError`` for one that leaves no
        room for a single token.
        """
        self.bounds.check(prompt)
        encoded = self._encode(prompt, seen)
        tokens = encoded.tokens
        if not tokens:
            raise InvalidRequestError("the prompt has no tokens", param=field_of(prompt))
        self._check_known(tokens, prompt)
        room = self.bounds.context_length - len(tokens)
        if room < (0 if max_tokens == 0 else 1):
            raise self.bounds.too_many_tokens(len(tokens), prompt)
        most = room if max_tokens is None else min(max_tokens, room)
        return EncodedPrompt(tokens, most, self.root, encoded.spans, encoded.opening, encoded.lasting, encoded.inputs)

    def tokenize(self, prompt: Prompt, seen: Seen = NOTHING) -> list[int]:
        """Returns the prompt's tokens, which may be none, or more than the context holds. Raises ``InvalidRequestError`` for a prompt that
        cannot be rendered, and ``ContextLengthError`` for a text that is too long whatever its tokens are.
        """
        if not isinstance(prompt, TokenPrompt):
            self.bounds.check(prompt)
        return self._encode(prompt, seen).tokens

    def _encode(self, prompt: Prompt, seen: Seen) -> EncodedChat:
        match prompt:
            case ChatPrompt():
                if self._chat is None:
                    raise InvalidRequestError("this model has no chat template: use /v1/completions", param="messages")
                return self._chat.encode(prompt, seen)
            case TextPrompt():
                return EncodedChat(self._tokenize(prompt), Opening.NONE)
            case TokenPrompt(token_ids=ids):
                return EncodedChat(list(ids), Opening.NONE)

    def _tokenize(self, prompt: TextPrompt) -> list[int]:
        if not prompt.text:
            return []  # not BOS alone
        has_bos = self._bos is not None and prompt.text.startswith(self._bos)
        return self._tokenizer.encode_text(prompt.text, add_special_tokens=prompt.add_special_tokens and not has_bos)

    def _check_known(self, tokens: Sequence[int], prompt: Prompt) -> None:
        """Refuses tokens that the model does not know, though its tokenizer may: nobody checks the index, so it would read past the end of
        a matrix.
        """
        if min(tokens) >= 0 and max(tokens) < self.vocab_size:
            return
        index, token = next((index, token) for index, token in enumerate(tokens) if not 0 <= token < self.vocab_size)
        raise InvalidRequestError(
            f"token {token} at position {index} is outside the vocabulary of {self.vocab_size}", param=field_of(prompt)
        )


def _not_for_clients(media: MediaProcessor, vocabulary: Mapping[str, int]) -> dict[str, int]:
    """Returns the tokens that stand for pictures, which are no control tokens in every vocabulary."""
    return {**{text: vocabulary[text] for text in media.placeholders.values() if text in vocabulary}, **media.fillers}
