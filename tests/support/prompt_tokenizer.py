"""A tokenizer as prompts need it, over one of the tokenizers library."""

from tests.support.tiny_model import SPECIALS, make_tokenizer


class PromptTokenizer:
    """As transformers wraps it. By default the tiny model's, with a BOS that ``add_special_tokens`` puts in front, as llama's does."""

    def __init__(self, inner=None, *, bos=SPECIALS[0], unknown=None):
        self._inner = inner or make_tokenizer()
        self.bos_token = bos
        self.unk_token_id = None if unknown is None else self._inner.token_to_id(unknown)
        self.added_tokens_decoder = self._inner.get_added_tokens_decoder()
        self.all_special_ids = [token for token, added in self.added_tokens_decoder.items() if added.special]
        self.all_special_tokens = [self.added_tokens_decoder[token].content for token in self.all_special_ids]

    def encode(self, text, *, add_special_tokens, split_special_tokens=False):
        self._inner.encode_special_tokens = split_special_tokens
        ids = self._inner.encode(text, add_special_tokens=False).ids
        return [self._inner.token_to_id(self.bos_token), *ids] if add_special_tokens else ids

    def decode(self, ids):
        return self._inner.decode(list(ids), skip_special_tokens=False)

    def get_vocab(self):
        return self._inner.get_vocab()
