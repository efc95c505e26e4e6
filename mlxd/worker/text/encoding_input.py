"""Texts, tokens and pairs of texts to what a model that encodes takes, checked against the model before anything is computed."""

from collections.abc import Mapping

from mlxd.errors import ContextLengthError, InvalidRequestError, UnsupportedParameterError
from mlxd.wire.prompts import TextPrompt, TokenPrompt
from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.text.bounded_tokenizer import BoundedTokenizer, Encoding, PairTokenizer
from mlxd.worker.text.judge_prompt import JudgePrompt


class InputEncoder:
    """An encoder of the inputs of one model, for any thread. A text has at most ``most_tokens``, with those that the tokenizer adds, and a
    token is below ``vocab_size``. ``prompts`` are the model's own, of which ``default_prompt`` goes before texts where none is named;
    ``judge`` is there where it answers whether a document fits a query.
    """

    def __init__(  # noqa: PLR0913 - what is known of a model
        self,
        tokenizer: PairTokenizer,
        *,
        most_tokens: int,
        vocab_size: int,
        prompts: Mapping[str, str],
        default_prompt: str | None = None,
        judge: JudgePrompt | None = None,
        tells_apart: bool = True,
    ) -> None:
        """Without ``tells_apart``, the model was not shown which text of a pair is which."""
        self._tokenizer = tokenizer
        self._texts = BoundedTokenizer(tokenizer, most_tokens)
        self._most = most_tokens
        self._vocab_size = vocab_size
        self._prompts = prompts
        self._default_prompt = default_prompt
        self._judge = judge
        self._tells_apart = tells_apart
        self._added = {is_pair: tokenizer.num_special_tokens_to_add(is_pair) for is_pair in (False, True)}

    def added(self, *, is_pair: bool) -> int:
        """Returns how many tokens a text, or a pair, has beside its own."""
        if is_pair and self._judge is not None:
            return len(self._judge.before) + len(self._judge.after)
        return self._added[is_pair]

    def embed(
        self,
        prompt: TextPrompt | TokenPrompt,
        *,
        truncate: bool,
        param: str,
        prompt_name: str | None = None,
        most_tokens: int | None = None,
    ) -> EncodedInput:
        """Returns the tokens of a text, behind the prompt of that name; an empty name is none. Tokens are taken as they are. Where they may
        be cut, they are at ``most_tokens``, the tokenizer's own included, or at the model's limit.

        Raises ``ContextLengthError`` where there are too many and they may not be cut, and ``InvalidRequestError`` where there are none, or
        one that the model has not, and where ``most_tokens`` leave no room for a text.
        """
        most = self._limit(most_tokens)
        if isinstance(prompt, TokenPrompt):
            if self._prompt(prompt_name):
                raise InvalidRequestError(f'the prompt "{prompt_name}" cannot go before tokens: send texts', param=param)
            return self._checked(EncodedInput(self._cut(list(prompt.token_ids), most, truncate, param)), param)
        before = self._prompt(self._default_prompt if prompt_name is None else prompt_name)
        text = self._read(before + prompt.text, truncate, param)
        encoding = self._texts.encode(text)
        ahead = len(self._texts.encode(before).ids) if before and most < self._most else 0  # where a client asked for few tokens
        room = ahead + self._room(most, ahead + (self._added[False] if prompt.add_special_tokens else 0))
        self._fit(encoding, room, truncate=truncate, param=param)
        whole = self._tokenizer.post_process(encoding, add_special_tokens=prompt.add_special_tokens)
        return self._checked(EncodedInput(whole.ids, prompt=self._prompt_tokens(before, prompt)), param)

    def pair(  # noqa: PLR0913 - what is said of a pair
        self,
        query: str,
        document: str,
        *,
        instruction: str | None,
        truncate: bool,
        param: str,
        most_tokens: int | None = None,
        document_tokens: int | None = None,
    ) -> EncodedInput:
        """Returns the tokens of two texts. Where they may be cut, the document is, at ``document_tokens`` of its own; then, where the pair
        has more than ``most_tokens``, or than the model takes, the document again; and a query that leaves no room for it, to half.

        Raises ``ContextLengthError`` where they are too long and may not be cut, ``UnsupportedParameterError`` for an instruction where the
        model takes none, and ``InvalidRequestError`` where ``most_tokens`` leave no room for a pair.
        """
        most = self._limit(most_tokens)
        query, document = (self._read(text, truncate, param) for text in (query, document))
        if self._judge is not None:
            if instruction is not None:
                self._read(instruction, truncate=False, param="instruction")
            body = self._judge.body(query, document, instruction)
            if document_tokens is not None or most < self._most:
                body = self._cut_document(self._judge, body, self._judge.document_at(body, query, instruction), document_tokens, most)
            return self._checked(EncodedInput(self._judged(self._judge, body, truncate, param)), param)
        if instruction is not None:
            raise UnsupportedParameterError("this model takes no instruction", param="instruction")
        first, second = (self._texts.encode(text) for text in (query, document))
        if document_tokens is not None and len(second.ids) > document_tokens:
            second.truncate(document_tokens)
        room = self._room(most, self._added[True], least=2)
        sizes = len(first.ids), len(second.ids)
        if sum(sizes) > room:
            if not truncate:
                raise self._too_long(sum(sizes) + self._added[True], param)
            first.truncate(sizes[0] if sizes[0] < room else max(room // 2, room - sizes[1]))
            second.truncate(room - len(first.ids))
        whole = self._tokenizer.post_process(first, second)
        begins = whole.type_ids.index(1) if self._tells_apart and 1 in whole.type_ids else 0
        return self._checked(EncodedInput(whole.ids, second=begins), param)

    def _limit(self, asked: int | None) -> int:
        return self._most if asked is None else min(asked, self._most)

    def _room(self, most: int, added: int, *, least: int = 1) -> int:
        """Returns how many of the ``most`` tokens are left for texts. Raises ``InvalidRequestError`` for fewer than the ``least``, where a
        client asked for so few.
        """
        if most < self._most and most - added < least:
            message = f"of {most} tokens, {added} are the model's own or of its prompt, which leaves no room for a text"
            raise InvalidRequestError(message, param="truncate_prompt_tokens")
        return most - added

    def _cut_document(self, judge: JudgePrompt, body: list[int], begin: int, document_tokens: int | None, most: int) -> list[int]:
        """Returns the body of a prompt whose document begins at a token, and is cut. What it is asked about, never is."""
        if most < self._most:
            others = len(judge.before) + len(judge.after) + begin
            left = self._room(most, others)
            document_tokens = left if document_tokens is None else min(left, document_tokens)
        return body if document_tokens is None else body[: begin + document_tokens]

    def _judged(self, judge: JudgePrompt, body: list[int], truncate: bool, param: str) -> list[int]:  # noqa: FBT001
        room = self._most - len(judge.before) - len(judge.after)
        if len(body) > room and not truncate:
            raise self._too_long(len(body) + self._most - room, param)
        return [*judge.before, *body[: max(room, 0)], *judge.after]

    def _read(self, text: str, truncate: bool, param: str) -> str:  # noqa: FBT001
        """Returns what of a text is tokenized. Raises ``ContextLengthError`` where it is too long for certain, and may not be cut."""
        beginning = self._texts.beginning(text)
        if len(beginning) < len(text) and not truncate:
            raise ContextLengthError(
                f"{param} has {len(text)} characters, which is more than the {self._most} tokens that the model takes; shorten it, or ask "
                "for it to be truncated",
                param=param,
            )
        return beginning

    def _prompt(self, name: str | None) -> str:
        if not name:
            return ""
        if name not in self._prompts:
            known = ", ".join(sorted(self._prompts)) or "none"
            raise InvalidRequestError(f'this model has no prompt "{name}"; it has {known}', param="prompt_name")
        return self._prompts[name]

    def _prompt_tokens(self, before: str, prompt: TextPrompt) -> int:
        """Returns how many tokens a prompt takes, with what the tokenizer puts before it, as sentence-transformers counts them."""
        if not before:
            return 0
        alone = self._texts.encode(before, add_special_tokens=prompt.add_special_tokens)
        return len(alone.ids) - (1 if alone.special_tokens_mask[-1:] == [1] else 0)

    def _fit(self, encoding: Encoding, room: int, *, truncate: bool, param: str) -> None:
        if len(encoding.ids) <= room:
            return
        if not truncate:
            raise self._too_long(len(encoding.ids) + self._most - room, param)
        encoding.truncate(room)

    def _cut(self, tokens: list[int], most: int, truncate: bool, param: str) -> list[int]:  # noqa: FBT001
        if len(tokens) > most and not truncate:
            raise self._too_long(len(tokens), param)
        return tokens[:most]

    def _too_long(self, found: int, param: str) -> ContextLengthError:
        return ContextLengthError(
            f"{param} has {found} tokens, but the model takes {self._most}; shorten it, or ask for it to be truncated", param=param
        )

    def _checked(self, found: EncodedInput, param: str) -> EncodedInput:
        """Refuses tokens that the model does not know: nobody checks the index, so it would read past the end of a matrix."""
        if not found.tokens:
            raise InvalidRequestError(f"{param} has no tokens", param=param)
        if min(found.tokens) < 0 or max(found.tokens) >= self._vocab_size:
            at, token = next((at, token) for at, token in enumerate(found.tokens) if not 0 <= token < self._vocab_size)
            raise InvalidRequestError(f"token {token} at position {at} is outside the vocabulary of {self._vocab_size}", param=param)
        return found
