import pytest

from mlxd.errors import InvalidRequestError
from mlxd.worker.text import chat_template
from mlxd.worker.text.chat_template import BrokenTemplate, BrokenTemplateError, ChatTemplate, Conversation

MESSAGES = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def rendered(text, messages=MESSAGES, **variables):
    return ChatTemplate(text, "chat_template.jinja", variables).render(Conversation(messages))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "userassistant"),
        ("{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.content }}{% endfor %}", "a"),
        ("  {% if add_generation_prompt %}\nx{% endif %}", "x"),
        ("{{ bos_token }}{{ nothing }}", "<s>"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "a"}'),
        ("{{ '<é>' | tojson }}", '"<é>"'),
        ("{% set ns = namespace(n=1) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "3"),
        ("{% generation %}x{% endgeneration %}", "x"),
        ("{% macro twice(x) %}{{ x * 2 }}{% endmacro %}{{ twice('ab') }}{{ 3 * 2 ** 3 }}", "abab24"),
        ("{% macro box() %}[{{ caller() }}]{% endmacro %}{% call box() %}x{% endcall %}", "[x]"),
        ("{{ strftime_now('%%') }}", "%"),
        ("{% set s = {'items': {'type': 'x'}, 'get': 1} %}{{ s.items.type }}{{ s.get }}{{ s['items']['type'] }}", "x1x"),
        ("{% set s = {'items': 1} %}{% for k, v in s.items() %}{{ k }}{{ v }}{% endfor %}{{ s.get('items') }}", "items11"),
        ("{% set s = {'a': 1} %}{{ s.items is defined }}{{ s['values'] is defined }}{{ s.keys() | list }}", "FalseFalse['a']"),
        ("{{ messages[0].content.upper() }}{{ 'a b'.split()[1] }}{{ messages[0].items() | list | length }}", "Ab2"),
    ],
)
def test_the_dialect_of_chat_templates(text, said):
    assert rendered(text, bos_token="<s>") == said


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{% for m in messages %}{{ m.content }", "line 1: unexpected '}'"),
        ("\n{{ a | nosuch }}", "line 2: No filter named 'nosuch'"),
        ("{{ a is nosuch }}", "No test named"),
        ("{% endfor %}", "line 1: Encountered unknown tag"),
        ("{{" + "(" * 5000 + ")" * 5000 + "}}", "RecursionError"),
    ],
    ids=["cut", "filter", "test", "tag", "deep"],
)
def test_what_is_no_template_says_where_and_why(text, what):
    with pytest.raises(BrokenTemplateError) as caught:
        rendered(text)
    assert "the model's chat template (chat_template.jinja) is broken: " in str(caught.value)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ raise_exception('roles must alternate') }}", "refuses these messages: roles must alternate"),
        ("{{ 1 / 0 }}", "fails on these messages: ZeroDivisionError"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "fails on these messages: RecursionError"),
        ("{% for i in range(100000000) %}{% endfor %}", "Range too big"),
        ("{{ messages[7].content }}", "refuses these messages: "),
        ("{{ messages[0].content + 1 }}", "fails on these messages: TypeError"),
        ("{{ messages[0]['content'].nosuch() }}", "refuses these messages: "),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% set ns = namespace() %}{% set ns._x = 1 %}", "cannot store '_x'"),
        ("{{ 'a' * 10 ** 10 }}", "repeats a text or a list"),
        ("{{ [1] * 10 ** 10 }}", "repeats a text or a list"),
        ("{{ 10 ** 10 ** 10 }}", "a number that is too large"),
        ("{{ (-10) ** 1000 }}", "a number that is too large"),
    ],
)
def test_what_fails_while_rendering_is_the_request_s_error(text, what):
    with pytest.raises(InvalidRequestError) as caught:
        rendered(text)
    assert caught.value.param == "messages"
    assert what in caught.value.message
    assert "(chat_template.jinja)" in caught.value.message


LOOPS = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    "text",
    [
        LOOPS,
        "{% macro f() %}" + LOOPS + "{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    ],
    ids=["loops", "loops in a macro", "macros that branch"],
)
def test_a_template_that_takes_for_ever_is_ended(monkeypatch, text):
    monkeypatch.setattr(chat_template, "_SECONDS", 0.05)
    with pytest.raises(InvalidRequestError, match=r"it takes more than 0\.05 seconds"):
        rendered(text)


def test_a_template_that_writes_without_end_is_ended(monkeypatch):
    monkeypatch.setattr(chat_template, "_CHARACTERS", 1000)
    with pytest.raises(InvalidRequestError, match="it writes more than 1000 characters"):
        rendered("{% for i in range(90000) %}x{% endfor %}")


def test_a_broken_one_says_why_and_what_to_use():
    with pytest.raises(InvalidRequestError, match="it is broken; use /v1/completions"):
        BrokenTemplate("it is broken").render(Conversation(MESSAGES))


def test_what_a_client_wrote_is_not_repeated_at_length():
    with pytest.raises(InvalidRequestError) as caught:
        rendered("{{ raise_exception('unknown role ' ~ messages[0].role) }}", [{"role": "x" * 10**6, "content": ""}])
    assert len(caught.value.message) < 1000
