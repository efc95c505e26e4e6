"""What a model that generates is asked, to tell whether a document fits a query: the words of Qwen3-Reranker's authors.

(Zhang et al. 2025, "Qwen3 Embedding"; the model card of Qwen/Qwen3-Reranker-0.6B.) Its parts are tokenized one by one, as there. What
clients write never becomes a control token, with which a document could answer for the model.
"""

from collections.abc import Sequence
from typing import Self

from mlxd.worker.text.framed_tokenizer import FramedTokenizer, Tokenizer

_BEFORE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_AFTER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


class JudgePrompt:
    """The prompt: what comes ``before`` and ``after`` the texts, in tokens, and what is between."""

    def __init__(self, tokenizer: FramedTokenizer) -> None:
        self._tokenizer = tokenizer
        self.before = tokenizer.encode_text(_BEFORE, add_special_tokens=False)
        self.after = tokenizer.encode_text(_AFTER, add_special_tokens=False)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self:
        """Returns the prompt in the tokens of a model's own tokenizer."""
        return cls(FramedTokenizer(tokenizer))

    def body(self, query: str, document: str, instruction: str | None) -> list[int]:
        """Returns the tokens of an instruction, which is the authors' where it is None, of a query and of a document."""
        return self._tokenizer.encode(f"{self._asked(query, instruction)}{self._tokenizer.guarded(document)}")

    def document_at(self, body: Sequence[int], query: str, instruction: str | None) -> int:
        """Returns how many tokens of a ``body`` come before those of its document, of which the first may have the space before it."""
        asked = self._tokenizer.encode(self._asked(query, instruction))
        return next((at for at, (own, other) in enumerate(zip(body, asked, strict=False)) if own != other), min(len(body), len(asked)))

    def _asked(self, query: str, instruction: str | None) -> str:
        parts = {"Instruct": INSTRUCTION if instruction is None else instruction, "Query": query}
        lines = [f"<{name}>: {self._tokenizer.guarded(text)}" for name, text in parts.items()]
        return "\n".join([*lines, "<Document>: "])
