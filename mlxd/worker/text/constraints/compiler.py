"""Grammars to matchers, in bounded time and memory; those that were compiled before are copied."""

import hashlib
import random
import re
import threading
from collections import OrderedDict

from llguidance import LLMatcher, LLParserLimits

from mlxd.worker.text.constraints.grammar import Rule, grammar_text
from mlxd.worker.text.constraints.vocabulary import Vocabulary, any_of

_KEPT = 32  # grammars
_CHECKED = 1_000  # grammars whose texts are known to compile
_TRIED = 16  # tokens of each: what grows without bounds has grown beyond them by then
_LONGEST = 1_000_000  # characters of a grammar
_TOKEN_BYTES = 300  # of a vocabulary: processes grew by 260 to 300 for each token, by 800 at most
_GRAMMAR_BYTES = 2**16
_LIMITS = LLParserLimits(
    max_items_in_row=4_000,  # each optional property of an object takes two
    step_lexer_fuel=1_000_000,  # 70 ms of one mask at worst
    initial_lexer_fuel=1_000_000,
    max_lexer_states=100_000,  # a kilobyte each
    max_grammar_size=200_000,
    verbose_errors=False,
)


_SHOWN = re.compile(r"\s*\d+ \||<")
_WHERE = re.compile(r"^at \d+\(\d+\): failed to compile JSON schema: ")


class GrammarError(Exception):
    """A grammar that cannot be compiled, or has no text; the message says why."""


class GrammarCompiler:
    """A compiler for one vocabulary, for any thread. A grammar takes milliseconds, and the worst that is let through a second."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, LLMatcher] = OrderedDict()  # never used, only copied
        self._checked: OrderedDict[bytes, None] = OrderedDict()  # hashes
        self._latest: tuple[str, LLMatcher] | None = None  # that was checked: mostly it is what an answer is made of next

    @property
    def nbytes(self) -> int:
        """Returns about how many bytes the vocabulary and the grammars that are kept take: the library does not tell."""
        return self.vocabulary.width * _TOKEN_BYTES + len(self._kept) * _GRAMMAR_BYTES

    def matcher(self, rule: Rule) -> LLMatcher:
        """Returns a new matcher. Raises ``GrammarError``."""
        text = grammar_text(rule)
        with self._lock:
            found = self._kept.get(text)
            if found is not None:
                self._kept.move_to_end(text)
                return found.deep_copy()
            latest, self._latest = self._latest, None
        made = latest[1] if latest is not None and latest[0] == text else self._made(rule, text)
        with self._lock:
            self._kept[text] = made.deep_copy()
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made

    def check(self, rule: Rule) -> None:
        """Sees to it that a grammar can be compiled. Raises ``GrammarError``."""
        text = grammar_text(rule)
        name = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        if name in self._checked:
            return
        made = self._made(rule, text)
        with self._lock:
            self._latest = text, made
            self._checked[name] = None
            while len(self._checked) > _CHECKED:
                self._checked.popitem(last=False)

    def _made(self, rule: Rule, text: str) -> LLMatcher:
        if len(text) > _LONGEST:
            raise GrammarError(f"it is too large: {len(text)} characters of grammar, where {_LONGEST} are the most")
        try:
            if not self.vocabulary.keeps(text):
                text = grammar_text(rule, is_forcing=False)
            matcher = LLMatcher(self.vocabulary.tokenizer, text, log_level=0, limits=_LIMITS)
            _require(matcher)
            self._try_out(matcher.deep_copy())
        except (GrammarError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of the library is no Exception
            raise GrammarError(f"it cannot be compiled: {error}") from error
        return matcher

    def _try_out(self, matcher: LLMatcher) -> None:
        """Walks some tokens into a grammar: that it is too costly shows only there, and would end the answer."""
        chance = random.Random(_TRIED)  # noqa: S311 - always the same walk
        for _ in range(_TRIED):
            mask = matcher.compute_bitmask()[: self.vocabulary.mask_bytes]
            _require(matcher)
            if not mask.strip(b"\0"):
                raise GrammarError("no token fits it")
            token = any_of(mask, chance)
            if token in self.vocabulary.ends:
                return
            matcher.consume_token(token)
            _require(matcher)


def _require(matcher: LLMatcher) -> None:
    if matcher.is_error():
        raise GrammarError(_said(matcher.get_error()))
    if matcher.is_stopped() and not matcher.is_accepting():
        raise GrammarError("no text is right by it")


def _said(error: str) -> str:
    """Returns what the library says of a fault, in one line, without the grammar that it shows around it."""
    lines = [line for line in error.splitlines() if line.strip(" ^") and not _SHOWN.match(line)]
    return _WHERE.sub("", " ".join(" ".join(lines).split()))[:300] or "no text is right by it"
