"""Deterministic prompts of a given length in tokens.

Prompts of one seed are the same in every run and for every server; two seeds differ from the first token on, which is a word of its
own for each (of thousands), so no prefix cache helps by chance. They are prose that never comes to an end, so that a greedy answer
does not end early either.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

SYSTEM_TOKENS = 500  # of the shared system prompt, as in the guide

_WHO = ("The farmer", "A young sailor", "The old teacher", "Her brother", "The baker", "My neighbour", "The captain", "A tired doctor")
_DID = ("walked to", "looked at", "talked about", "remembered", "carried a stone from", "painted", "asked about", "dreamed of")
_WHAT = ("the river", "a green hill", "the market", "an empty boat", "the long road", "a quiet house", "the winter field", "a broken clock")
_WHEN = ("in the morning", "after the rain", "before supper", "on a cold day", "for a whole year", "once again", "every summer", "at night")


class PromptMaker:
    """For one model's tokenizer."""

    def __init__(self, model: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self._openings = sorted(token for token in self._tokenizer.get_vocab() if token.isascii() and token.isalpha() and len(token) > 3)

    def length(self, text: str) -> int:
        """In tokens, without special ones."""
        return len(self.token_ids(text))

    def token_ids(self, text: str) -> list[int]:
        """Returns the tokens of a text, without special ones."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, seed: str, tokens: int) -> str:
        """Prose of ``tokens`` tokens, or one or two fewer where a word does not fit. ``seed`` names the prompt."""
        choose = random.Random(seed)  # noqa: S311 - reproducible on purpose
        words = [f"{choose.choice(self._openings)}.", *" ".join(_sentences(choose, tokens)).split(" ")]
        low, high = 1, len(words)
        while low < high:  # the most words that fit
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.length(" ".join(words[:middle])) <= tokens else (low, middle - 1)
        return " ".join(words[:low])

    def system(self, seed: str, tokens: int = SYSTEM_TOKENS) -> str:
        """A system prompt that many users share."""
        return self.text(f"system {seed}", tokens)

    def question(self, seed: str, tokens: int = 20) -> str:
        """What one user asks."""
        return "Tell me more of this story: " + self.text(f"question {seed}", tokens)


def _sentences(choose: random.Random, count: int) -> Iterator[str]:
    """At least ``count`` words."""
    for _ in range(count // 5 + 1):  # each has at least five words
        yield f"{choose.choice(_WHO)} {choose.choice(_DID)} {choose.choice(_WHAT)} {choose.choice(_WHEN)}."
