import pytest

from mlxd.errors import ContextLengthError, InvalidRequestError
from mlxd.types import ChatMessage
from mlxd.wire.prompts import ChatPrompt, TextPrompt, TokenPrompt
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.text.chat_template import ChatTemplate
from mlxd.worker.text.conversation import ChatFormat
from mlxd.worker.text.prompt import PromptEncoder
from tests.support.prompt_tokenizer import PromptTokenizer
from tests.support.tiny_model import BOS, CHAT_TEMPLATE, SPECIALS, VOCAB, make_tokenizer

ROOT = CacheRoot(model="tiny")


def encoder(*, context=100, template=CHAT_TEMPLATE):
    chat = None if template is None else ChatFormat.of(ChatTemplate(template, "chat_template.jinja", {}))
    return PromptEncoder(PromptTokenizer(), chat, vocab_size=VOCAB, context_length=context, root=ROOT)


def chat(*messages):
    return ChatPrompt(messages=[ChatMessage(role=role, content=content) for role, content in messages])


def test_a_chat_is_rendered_with_the_opening_of_the_answer():
    tokens = encoder().encode(chat(("user", "hé")), None).tokens
    assert make_tokenizer().decode(tokens, skip_special_tokens=False) == "<|im_start|>user\nhé<|im_end|>\n<|im_start|>assistant\n"


def test_what_the_template_refuses_is_the_clients_mistake():
    with pytest.raises(InvalidRequestError, match="nobody has nothing to say") as caught:
        encoder().encode(ChatPrompt(messages=[ChatMessage(role="user", content="a", name="nobody")]), None)
    assert caught.value.param == "messages"


def test_a_template_that_cannot_render_the_messages_is_the_clients_mistake_too():
    with pytest.raises(InvalidRequestError, match="template"):
        encoder(template="{{ messages[0].content + 1 }}").encode(chat(("user", "a")), None)


def test_a_model_without_template_says_what_to_use():
    with pytest.raises(InvalidRequestError, match="no chat template") as caught:
        encoder(template=None).encode(chat(("user", "a")), None)
    assert caught.value.param == "messages"


def test_text_gets_the_tokenizers_bos():
    assert encoder().encode(TextPrompt(text="ab"), None).tokens == [BOS, 97, 98]


def test_bos_is_not_doubled():
    assert encoder().encode(TextPrompt(text=SPECIALS[0] + "ab"), None).tokens == [BOS, 97, 98]


def test_token_ids_pass_unchanged():
    assert encoder().encode(TokenPrompt(token_ids=[0, VOCAB - 1]), None).tokens == [0, VOCAB - 1]


@pytest.mark.parametrize("token", [-1, VOCAB, 2**40])
def test_a_token_outside_the_vocabulary_is_named(token):
    with pytest.raises(InvalidRequestError, match=f"{token} at position 1.*{VOCAB}") as caught:
        encoder().encode(TokenPrompt(token_ids=[5, token]), None)
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("prompt", [TokenPrompt(token_ids=[]), ChatPrompt(messages=[]), TextPrompt(text="")])
def test_an_empty_prompt_is_refused(prompt):
    with pytest.raises(InvalidRequestError):
        encoder(template="{% for message in messages %}{{ message.content }}{% endfor %}").encode(prompt, None)


def test_a_prompt_that_leaves_no_room_names_both_numbers():
    with pytest.raises(ContextLengthError, match=r"10 tokens.*10"):
        encoder(context=10).encode(TokenPrompt(token_ids=[1] * 10), 1)


def test_one_token_of_room_is_enough():
    assert encoder(context=10).encode(TokenPrompt(token_ids=[1] * 9), 50).max_tokens == 1


def test_a_prompt_of_which_nothing_is_generated_may_fill_the_context():
    assert encoder(context=10).encode(TokenPrompt(token_ids=[1] * 10), 0).max_tokens == 0
    with pytest.raises(ContextLengthError):
        encoder(context=10).encode(TokenPrompt(token_ids=[1] * 11), 0)


@pytest.mark.parametrize(("asked", "given"), [(None, 7), (3, 3), (7, 7), (8, 7)])
def test_max_tokens_is_cut_to_what_is_left(asked, given):
    assert encoder(context=10).encode(TokenPrompt(token_ids=[1, 2, 3]), asked).max_tokens == given


@pytest.mark.parametrize("prompt", [TextPrompt(text="ab" * 10**6), chat(("user", "ab" * 10**6))])
def test_a_text_that_cannot_fit_is_refused_without_tokenizing_it(prompt):
    made = encoder()
    made._tokenizer._tokenizer.encode = lambda *_, **__: pytest.fail("tokenized")
    with pytest.raises(ContextLengthError, match="100"):
        made.encode(prompt, None)
