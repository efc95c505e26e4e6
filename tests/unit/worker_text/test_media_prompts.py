"""Conversations that show pictures and films: where these are among the tokens, and who may show what."""

from dataclasses import replace as replaced

import pytest
from msgspec.structs import replace

from mlxd.errors import ContextLengthError, InvalidRequestError
from mlxd.media_terms import MediaKind
from mlxd.types import ChatMessage, ToolShape
from mlxd.wire.prompts import ChatPrompt
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.text.chat_template import ChatTemplate
from mlxd.worker.text.conversation import ChatFormat
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.text.seen import Seen, distinct
from mlxd.worker.text.shapes import Shapes
from tests.support.seeing import BREAK, FILM, PICTURE, SEEN, SEEN_ID, VOCABULARY, FakeProcessor, film, picture, seeing_tokenizer
from tests.support.tiny_model import BOS
from tests.unit.worker_text.conversations import call, result, says, tool

PART = "{% if part.type == 'image' %}<pic>{% elif part.type == 'video' %}<film>{% else %}{{ part.text }}{% endif %}"
CONTENT = "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}" + PART + "{% endfor %}{% endif %}"
TEMPLATE = "{% for m in messages %}[{{ m.role }}]" + CONTENT + "<|im_end|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
PARTS_ONLY = (  # Idefics and LLaVA: a text that is no part is passed over, or an error
    "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}" + PART + "{% endfor %}{% endfor %}"
)
EARLY_PIXTRAL = PARTS_ONLY.replace("part.text", "part.content")
PICTURES_FIRST = TEMPLATE.replace(
    CONTENT,
    "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content if p.type == 'image' %}<pic>\n{% endfor %}"
    "{% for p in m.content if p.type == 'text' %}{{ p.text }}{% endfor %}{% endif %}",
)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}"
    "[{{ m.role }}]" + CONTENT + "{% endfor %}"
)
WITH_TOOLS = (
    "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}[{{ m.role }}]"
    "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}" + CONTENT + "{% endfor %}"
)
BLIND_TOOLS = WITH_TOOLS.replace(CONTENT, "{% if m.role == 'tool' %}{{ m.content }}{% else %}" + CONTENT + "{% endif %}")


def encoder(template=TEMPLATE, processor=None, context=10_000, **tokenizer):
    chat = replaced(ChatFormat.of(ChatTemplate(template, "x.jinja", {})), shapes=Shapes(tools=ToolShape.HERMES))
    root = CacheRoot(model="tiny")
    processor = processor or FakeProcessor()
    return PromptEncoder(seeing_tokenizer(**tokenizer), chat, vocab_size=VOCABULARY, context_length=context, root=root, media=processor)


def seen_of(messages):
    processor = FakeProcessor()
    return Seen([(one, processor.process(one)) for one in distinct(one for message in messages for one in message.media)])


def encoded(*messages, template=TEMPLATE, context=10_000, **prompt):
    return encoder(template, context=context).encode(ChatPrompt(messages=list(messages), **prompt), None, seen_of(messages))


def shown(prompt):
    """The prompt's text, without the BOS of the tokenizer, and with each run of placeholders as one."""
    tokens = [token for at, token in enumerate(prompt.tokens) if token != SEEN_ID or prompt.tokens[at - 1] != SEEN_ID]
    return seeing_tokenizer().decode(tokens).removeprefix("<|endoftext|>")


def user(text, *media):
    return ChatMessage(role="user", content=text, media=list(media))


def seen(text=""):
    return f"{text}\n{SEEN}\n"


def test_a_picture_is_where_its_message_shows_it():
    prompt = encoded(user("look: what?", picture(at=6)))
    assert shown(prompt) == f"[user]look: {seen()}what?<|im_end|>[assistant]"
    (span,) = prompt.media
    assert prompt.tokens[span.start : span.stop] == [SEEN_ID] * 3
    assert prompt.tokens.count(SEEN_ID) == len(span) == prompt.inputs[0].count
    assert prompt.inputs[0].content == span.content


def test_several_in_any_order_are_in_the_order_of_the_conversation():
    first, second, third = picture(b"aa"), picture(b"bbbb", at=1), film(b"c", b"dd", at=1)
    prompt = encoded(user("ab", first, second, third), says("yes"), user("again", picture(b"bbbb", at=5)))
    assert shown(prompt).startswith(f"[user]{seen()}a{seen()}{seen()}{BREAK}{seen()}b<|im_end|>")
    assert [len(span) for span in prompt.media] == [2, 4, 1, 2, 4]
    assert [span.first for span in prompt.media] == [0, 0, 0, 1, 0]
    assert [one.count for one in prompt.inputs] == [2, 4, 3]  # the second and the last are the same
    assert prompt.media[1].content == prompt.media[4].content


def test_swapped_pictures_of_one_size_are_other_blocks_and_text_before_them_is_not():
    words = "sixteen letters, and more"
    one, other = picture(b"aaaa", at=len(words)), picture(b"bbbb", at=len(words))
    chains = [BlockChain.of(encoded(user(words, *pair)), 4).digests for pair in ((one, other), (other, one), (one, other))]
    assert chains[0] == chains[2]
    shared = [a == b for a, b in zip(chains[0], chains[1], strict=True)]
    assert all(shared[: len("[user]" + words) // 4])
    assert not any(shared[-5:])


def test_a_film_at_another_rate_is_another():
    contents = {encoded(user("", film(b"a", b"b", fps=fps))).media[0].content for fps in (1.0, 2.0)}
    assert len(contents) == 2


def test_text_goes_as_before_where_nothing_is_shown():
    prompt = encoded(user("hello"))
    assert (shown(prompt), prompt.media, prompt.inputs) == ("[user]hello<|im_end|>[assistant]", (), ())


def test_what_lasts_ends_before_the_opening_of_the_answer():
    prompt = encoded(user("a", picture()))
    assert shown(replace(prompt, tokens=prompt.tokens[prompt.lasting :], media=())) == "[assistant]"


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("written", [PICTURE, SEEN, FILM, PICTURE.upper(), "<pi", f"{PICTURE}{SEEN}"])
def test_nobody_can_write_a_placeholder(written, special):
    message = user(f"{written}!", picture(at=len(written)))
    prompt = encoder(special=special).encode(ChatPrompt(messages=[message]), None, seen_of([message]))
    assert len(prompt.media) == 1
    assert prompt.tokens.count(SEEN_ID) == 3
    assert written in shown(prompt)


def test_nor_where_control_tokens_may_be_spelled():
    with pytest.raises(InvalidRequestError, match="2 pictures where there are 1"):
        encoded(user(f"{PICTURE}!", picture()), special_tokens=True)
    with pytest.raises(InvalidRequestError, match="2 placeholders where its pictures and films need 1"):
        encoded(user(f"{SEEN}!", picture()), special_tokens=True)


def test_a_tokenizer_s_own_beginning_is_there_once():
    """Processors of transformers put it before a conversation; a template that writes it is left alone."""
    assert encoded(user("a")).tokens[0] == BOS
    written = encoded(user("a"), template="<|endoftext|>" + TEMPLATE).tokens
    assert written[:2].count(BOS) == 1


@pytest.mark.parametrize("template", [PARTS_ONLY, EARLY_PIXTRAL])
def test_a_template_of_parts_alone_shows_text_and_pictures(template):
    prompt = encoded(ChatMessage(role="system", content="brief"), user("look", picture(at=4)), says("yes"), template=template)
    assert shown(prompt) == f"[system]brief[user]look{seen()}[assistant]yes"


def test_a_template_of_parts_alone_shows_text_without_eyes_too():
    chat = ChatFormat.of(ChatTemplate(PARTS_ONLY, "x.jinja", {}))
    blind = PromptEncoder(seeing_tokenizer(), chat, vocab_size=VOCABULARY, context_length=99, root=CacheRoot(model="tiny"))
    assert shown(blind.encode(ChatPrompt(messages=[user("look")]), None)) == "[user]look"


def test_a_template_may_put_pictures_first():
    prompt = encoded(user("look", picture(b"aa", at=4), picture(b"bbb", at=4)), template=PICTURES_FIRST)
    assert shown(prompt) == f"[user]{seen()}\n{seen()}\nlook<|im_end|>[assistant]"
    assert [len(span) for span in prompt.media] == [2, 3]


def test_messages_that_are_joined_keep_what_they_show():
    prompt = encoded(user("one", picture(b"aa", at=3)), user("two", picture(b"bbb")), template=ALTERNATING)
    assert shown(prompt) == f"[user]one{seen()}\n\n{seen()}two"
    assert [len(span) for span in prompt.media] == [2, 3]


def test_tools_are_told_before_what_the_first_message_shows():
    no_system = ALTERNATING.replace("m.role == 'user'", "m.role != 'assistant'").replace("{{ raise", "{{ '' if m.role == 'user' else raise")
    prompt = encoded(user("ab", picture(at=1)), template=no_system, tools=[tool()])
    assert shown(prompt).endswith(f"a{seen()}b")


def test_a_result_shows_its_picture_where_the_template_does():
    turn = [user("x"), says("", call()), replace(result("sun"), media=[picture(at=3)]), says("done"), user("y")]
    assert f"[tool]sun{seen()}[assistant]done" in shown(encoded(*turn, template=WITH_TOOLS, tools=[tool()]))


def test_else_a_user_shows_it_behind_all_results():
    first, second = replace(result("sun"), media=[picture(b"aa", at=3)]), replace(result("rain"), media=[picture(b"bbb")])
    turn = [user("x"), says("", call()), first, second, says("done"), user("y")]
    prompt = encoded(*turn, template=BLIND_TOOLS, tools=[tool()])
    assert f"[tool]sun[tool]rain[user]{seen()}{seen()}[assistant]done" in shown(prompt)
    assert [len(span) for span in prompt.media] == [2, 3]
    assert shown(encoded(*turn[:4], template=BLIND_TOOLS, tools=[tool()])).endswith(f"[user]{seen()}{seen()}")


def test_a_result_that_is_told_as_text_shows_its_picture_inside():
    turn = [user("x"), says("", call()), replace(result("sun"), media=[picture(at=3)])]
    assert f"<tool_response>\nsun{seen()}\n</tool_response>" in shown(encoded(*turn, tools=[tool()]))


def test_what_a_template_shows_nowhere_is_refused_by_name():
    blind = TEMPLATE.replace("{% elif part.type == 'video' %}<film>", "")
    assert encoder(blind).sees == {MediaKind.IMAGE}
    with pytest.raises(InvalidRequestError, match="shows no film at all") as error:
        encoded(user("", film(b"a", param="messages[0].content[0]")), template=blind)
    assert error.value.param == "messages[0].content[0]"
    text = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert encoder(text).sees == frozenset()
    assert encoder(text).media is None


def test_nor_in_messages_of_a_role_that_shows_none():
    only_users = TEMPLATE.replace("part.type == 'image'", "part.type == 'image' and m.role == 'user'")
    with pytest.raises(InvalidRequestError, match="shows no picture in what the assistant says"):
        encoded(user("a"), ChatMessage(role="assistant", content="b", media=[picture()]), template=only_users)


def test_a_template_with_fewer_places_than_pictures_is_refused():
    once = TEMPLATE.replace("<pic>", "{% if loop.index < 3 %}<pic>{% endif %}")
    with pytest.raises(InvalidRequestError, match="has places for 1 pictures where there are 2") as error:
        encoded(user("ab", picture(b"aa", at=1), picture(b"bb", at=2, param="second")), template=once)
    assert error.value.param == "second"


def test_pictures_count_for_the_context():
    with pytest.raises(ContextLengthError):
        encoded(user("a", picture(b"x" * 100)), context=100)
    prompt = encoded(user("a", picture(b"x" * 60)), context=100)
    assert prompt.max_tokens == 100 - len(prompt.tokens)


def test_tokens_of_pictures_are_counted():
    messages = [user("a", picture(b"x" * 60))]
    assert len(encoder(context=10).tokenize(ChatPrompt(messages=messages), seen_of(messages))) > 60


def test_a_message_that_shows_something_can_be_continued():
    last = ChatMessage(role="assistant", content="so far", media=[picture()])
    assert shown(encoded(user("a"), last, continue_final_message=True)).endswith(f"[assistant]{seen()}so far")
