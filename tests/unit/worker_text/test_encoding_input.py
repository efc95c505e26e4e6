"""Texts, tokens and pairs as a model that encodes takes them."""

import pytest
from tokenizers import Tokenizer

from mlxd.errors import ContextLengthError, InvalidRequestError, UnsupportedParameterError
from mlxd.wire.prompts import TextPrompt, TokenPrompt
from mlxd.worker.text.encoding_input import InputEncoder
from tests.unit.worker_facts.encoding.copies import DATA

CLS, SEP = 2, 3
PROMPTS = {"query": "query : ", "document": ""}


def encoder(name="bert", most_tokens=12, **others):
    tokenizer = Tokenizer.from_file(str(DATA / name / "tokenizer.json"))
    return InputEncoder(tokenizer, most_tokens=most_tokens, vocab_size=176, prompts=PROMPTS, **others)


def embedded(text, found=None, *, truncate=False, **others):
    truncate = truncate or "most_tokens" in others
    prompt = TextPrompt(text=text) if isinstance(text, str) else TokenPrompt(token_ids=text)
    return (found or encoder()).embed(prompt, truncate=truncate, param="input[17]", **others)


def paired(query, document, found=None, *, truncate=False, instruction=None, **limits):
    return (found or encoder()).pair(
        query, document, instruction=instruction, truncate=truncate or bool(limits), param="documents[3]", **limits
    )


def test_a_text_has_the_tokens_that_its_tokenizer_adds():
    found = embedded("the capital")
    assert (found.tokens[0], len(found.tokens), found.tokens[-1]) == (CLS, 4, SEP)
    assert embedded("").tokens == [CLS, SEP]


def test_a_text_without_them():
    found = encoder().embed(TextPrompt(text="the capital", add_special_tokens=False), truncate=False, param="input")
    assert found.tokens == embedded("the capital").tokens[1:-1]


def test_a_text_that_is_too_long_is_an_error_that_names_it():
    with pytest.raises(ContextLengthError, match=r"input\[17\] has 22 tokens, but the model takes 12") as caught:
        embedded("the " * 20)
    assert caught.value.param == "input[17]"


def test_a_text_that_is_cut_keeps_its_ends():
    whole, cut = (
        embedded("the capital of france is paris", encoder(most_tokens=50)),
        embedded("the capital of france is paris " * 3, truncate=True),
    )
    assert (len(cut.tokens), cut.tokens[0], cut.tokens[-1]) == (12, CLS, SEP)
    assert cut.tokens[:7] == whole.tokens[:7]


def test_tokens_are_taken_as_they_are_and_cut_at_their_end():
    assert embedded([5, 6, 7]).tokens == [5, 6, 7]
    assert embedded([5] * 12 + [6], truncate=True).tokens == [5] * 12
    with pytest.raises(ContextLengthError, match="13 tokens"):
        embedded([5] * 13)


def test_fewer_tokens_than_the_model_takes_are_the_first_ones_between_the_ends():
    whole = embedded("the capital of france is paris").tokens
    assert embedded("the capital of france is paris", most_tokens=4).tokens == [*whole[:3], SEP]
    assert embedded("the capital of france is paris", most_tokens=100).tokens == whole
    assert embedded([5, 6, 7, 8], most_tokens=2).tokens == [5, 6]
    assert len(embedded("the " * 20, most_tokens=100).tokens) == 12


@pytest.mark.parametrize(("most", "others"), [(1, {}), (2, {}), (4, {"prompt_name": "query"})])
def test_so_few_tokens_that_nothing_of_a_text_is_left_are_refused(most, others):
    with pytest.raises(InvalidRequestError, match=f"of {most} tokens, .* leaves no room for a text") as caught:
        embedded("the capital", most_tokens=most, **others)
    assert caught.value.param == "truncate_prompt_tokens"


@pytest.mark.parametrize("tokens", [[176], [5, -1], [2**40]])
def test_tokens_that_the_model_has_not_are_refused(tokens):
    with pytest.raises(InvalidRequestError, match=rf"token {tokens[-1]} at position {len(tokens) - 1} is outside the vocabulary of 176"):
        embedded(tokens)


def test_nothing_is_no_input():
    with pytest.raises(InvalidRequestError, match=r"input\[17\] has no tokens"):
        embedded([])


def test_a_prompt_of_the_model_goes_before_a_text_only_where_it_is_named():
    plain, found = embedded("the text"), embedded("the text", prompt_name="query")
    assert found.tokens == embedded("query : the text").tokens
    assert (plain.prompt, found.prompt) == (0, 3)  # [CLS] query :
    assert embedded("the text", prompt_name="document") == plain
    with pytest.raises(InvalidRequestError, match='no prompt "passage"; it has document, query') as caught:
        embedded("the text", prompt_name="passage")
    assert caught.value.param == "prompt_name"
    with pytest.raises(InvalidRequestError, match="cannot go before tokens"):
        embedded([5], prompt_name="query")


def test_a_prompt_that_goes_before_texts_where_none_is_named():
    found = encoder(default_prompt="query")
    assert embedded("the text", found) == embedded("the text", prompt_name="query")
    assert embedded("the text", found, prompt_name="document") == embedded("the text", found, prompt_name="") == embedded("the text")
    assert embedded([5, 6], found).tokens == [5, 6]


def test_a_pair_knows_where_its_second_text_begins():
    found = paired("the capital", "paris")
    assert found.tokens == [CLS, *embedded("the capital").tokens[1:-1], SEP, *embedded("paris").tokens[1:-1], SEP]
    assert found.second == 4
    assert paired("the capital", "paris", encoder(tells_apart=False)).second == 0


def test_of_a_pair_that_is_cut_the_document_is():
    with pytest.raises(ContextLengthError, match=r"documents\[3\] has 14 tokens") as caught:
        paired("the capital", "paris " * 9)
    assert caught.value.param == "documents[3]"
    found = paired("the capital", "paris " * 9, truncate=True)
    assert (len(found.tokens), found.second, found.tokens[-1]) == (12, 4, SEP)
    assert found.tokens[:4] == paired("the capital", "paris").tokens[:4]


def test_a_document_is_cut_by_itself_and_then_with_its_query():
    query, document = "the capital", "paris is the capital of france"
    whole = paired(query, document)
    assert paired(query, document, document_tokens=2).tokens == [*whole.tokens[:6], SEP]
    assert paired(query, document, document_tokens=100) == whole
    assert paired(query, document, most_tokens=8).tokens == [*whole.tokens[:7], SEP]
    assert paired(query, document, most_tokens=8, document_tokens=2) == paired(query, document, document_tokens=2)
    assert len(paired("the " * 9, document * 9, document_tokens=9).tokens) == 12
    with pytest.raises(InvalidRequestError, match="of 4 tokens, 3 are the model's own"):
        paired(query, document, most_tokens=4)


def test_a_query_that_leaves_no_room_is_cut_to_half_at_most():
    found = paired("the " * 30, "paris " * 30, truncate=True)
    assert (len(found.tokens), found.second) == (12, 6)
    short = paired("the " * 30, "paris", truncate=True)
    assert (len(short.tokens), short.tokens[-2]) == (12, paired("a", "paris").tokens[-2])


def test_a_model_that_takes_no_instruction_says_so():
    with pytest.raises(UnsupportedParameterError, match="takes no instruction") as caught:
        paired("a", "b", instruction="Find the city")
    assert caught.value.param == "instruction"


class Reading:
    """A tokenizer that counts the characters that it reads."""

    def __init__(self, inner):
        self._inner = inner
        self.characters = 0
        self.post_process, self.num_special_tokens_to_add = inner.post_process, inner.num_special_tokens_to_add

    def encode_batch_fast(self, texts, *, add_special_tokens):
        self.characters += sum(map(len, texts))
        return self._inner.encode_batch_fast(texts, add_special_tokens=add_special_tokens)


def reading(most_tokens=12):
    tokenizer = Reading(Tokenizer.from_file(str(DATA / "bert" / "tokenizer.json")))
    return tokenizer, InputEncoder(tokenizer, most_tokens=most_tokens, vocab_size=176, prompts=PROMPTS)


def test_of_a_megabyte_no_more_is_read_than_the_model_takes():
    text, (tokenizer, found) = "the capital of france is paris " * 2**15, reading()
    with pytest.raises(ContextLengthError, match=rf"input\[17\] has {len(text)} characters, which is more than the 12 tokens"):
        embedded(text, found)
    assert embedded(text, found, truncate=True) == embedded(text[:60], truncate=True)
    assert paired(text, text, found, truncate=True) == paired(text[:60], text[:60], truncate=True)
    assert tokenizer.characters < 2**16


def test_a_text_of_few_tokens_may_be_long():
    text, (_, found) = "the" + " " * 50_000 + "capital", reading()
    assert embedded(text, found) == embedded("the capital")
    with pytest.raises(ContextLengthError, match="characters"):
        embedded(" " * 2**21, found)
