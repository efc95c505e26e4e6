"""What each family's template makes of the conversations that clients send."""

import pytest

from mlxd.errors import InvalidRequestError
from mlxd.worker.text.template_probe import ArgumentForm, IdForm, TextBesideCalls
from tests.unit.worker_text.conversations import FAMILIES, call, chat_format, render, result, says, system, tool, user

TURN = (user("Weather?"), says("", call()), result("sunny"))

WRITTEN = {  # a call of an earlier turn, as the model wrote it
    "deepseek_v3.1": '<\uff5ctool\u2581call\u2581begin\uff5c>get_weather<\uff5ctool\u2581sep\uff5c>{"city": "Oslo"}',
    "deepseek_r1": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    "gemma3": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    "glm4.5": "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>",
    "gpt-oss": '<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Oslo"}<|call|>',
    "kimi_k2": '<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Oslo"}<|tool_call_end|>',
    "llama3.1": '{"name": "get_weather", "parameters": {"city": "Oslo"}}<|eot_id|>',
    "mistral": '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "',
    "qwen2.5": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    "qwen3": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    "qwen3_coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>",
}


def test_there_is_a_line_for_every_family():
    assert sorted(WRITTEN) == FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_and_its_result(family):
    text = render(family, *TURN, tools=[tool()])
    assert WRITTEN[family] in text
    assert text.index("Weather?") < text.index(WRITTEN[family]) < text.index("sunny")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_second_turn_of_the_user(family):
    text = render(family, *TURN, says("It is sunny."), user("And tomorrow?"), tools=[tool()])
    assert "It is sunny." in text
    assert text.index("sunny") < text.index("And tomorrow?")


SENT = [
    [user("a"), says("", call("f", "", "c1")), result("r", "c1")],
    [user("a"), says("", call("f", "{}", "c1")), result("", "c1", name="f")],
    [user("a"), says("", call("f", '{"a": ', "c1")), result("broken", "c1")],
    [user("a"), says("", call("f", "[1]", "c1")), result("r", "c1")],
    [system("s"), user("a"), says("", call("f", '{"a": 1.5, "items": [1, {"b": "é\\n\\""}]}', "toolu_01A")), result("r", "toolu_01A")],
    [user("a"), says("Let me look.", call("f", "{}", "functions.f:0")), result("r", "functions.f:0")],
    [user("a"), says("", call("f", "{}", "1"), call("g", "{}", "2")), result("one", "1"), result("two", "2")],
    [user("a"), says("", call("f", "{}", "1"), call("g", "{}", "2")), result("two", "2"), result("one", "1")],
    [user("a"), says("", call("f", "{}", "1")), result("r", None, name="f")],
    [user("a"), says("", call("f", "{}", "1"), reasoning="hm"), result("r", "1"), says("b", reasoning="so"), user("c")],
    [user("a"), says("Look:", call("f", "{}", "1"), reasoning="hm"), result("r", "1")],
    [system("one"), system("two"), user("a")],
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tools", [[], [tool("f"), tool("g")]], ids=["without", "with"])
def test_what_clients_send_is_shown(family, tools):
    for messages in SENT:
        text = render(family, *messages, tools=tools)
        assert "None" not in text, messages
        results = [message.content for message in messages if message.role == "tool"]
        assert all(one in text for one in results), messages
        assert all(one.content in text for one in messages if one.role in {"system", "user"}), messages


SCHEMAS = [
    {"default": None, "type": "string"},
    {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    {"type": ["string", "null"]},
    {"items": {"type": "string"}},
    {"$ref": "#/$defs/City"},
    {"enum": [1, 2]},
    {},
    {"type": "array"},
    {"type": "array", "items": {}},
    {"type": "object", "properties": {}, "additionalProperties": True},
    {"oneOf": [{"const": "a"}, {"const": 1}]},
    True,
]
METHODS = ["items", "keys", "values", "get", "pop", "update", "copy", "type", "properties", "description", "name"]
FUNCTIONS = [
    {"name": "f"},
    {"name": "f", "description": None, "parameters": None},
    {"name": "f", "parameters": {}},
    {"name": "f-g.h__i", "strict": True},
]


@pytest.mark.parametrize("family", FAMILIES)
def test_schemas_as_clients_write_them(family):
    for schema in SCHEMAS:
        parameters = {"type": "object", "properties": {"place_of_it": schema}, "$defs": {"City": {"type": "string"}}}
        assert "place_of_it" in render(family, user("a"), tools=[tool("f", parameters=parameters)]), schema


@pytest.mark.parametrize("family", FAMILIES)
def test_properties_with_the_names_of_methods(family):
    for name in METHODS:
        properties = {name: {"type": "array", "items": {"type": "string"}}, "last_one": {"type": "string"}}
        text = render(family, user("a"), tools=[tool("f", parameters={"type": "object", "properties": properties})])
        assert name in text
        assert "last_one" in text, name


@pytest.mark.parametrize("family", FAMILIES)
def test_tools_that_say_little(family):
    for function in FUNCTIONS:
        text = render(family, user("a"), tools=[{"type": "function", "function": function}])
        assert function["name"] in text, function


# ---- what was found by probing ----


@pytest.mark.parametrize(
    ("family", "arguments", "ids"),
    [
        ("qwen2.5", ArgumentForm.OBJECT, IdForm.ANY),
        ("qwen3", ArgumentForm.TEXT, IdForm.ANY),
        ("qwen3_coder", ArgumentForm.OBJECT, IdForm.ANY),
        ("glm4.5", ArgumentForm.OBJECT, IdForm.ANY),
        ("deepseek_v3.1", ArgumentForm.TEXT, IdForm.ANY),
        ("mistral", ArgumentForm.OBJECT, IdForm.SHORT),
        ("kimi_k2", ArgumentForm.TEXT, IdForm.FUNCTION),
        ("gpt-oss", ArgumentForm.OBJECT, IdForm.ANY),
    ],
)
def test_how_calls_are_given(family, arguments, ids):
    traits = chat_format(family).traits
    assert (traits.arguments, traits.ids) == (arguments, ids)


@pytest.mark.parametrize(
    ("family", "becomes"),
    [("qwen3", TextBesideCalls.SHOWN), ("mistral", TextBesideCalls.LOST), ("llama3.1", TextBesideCalls.APART)],
)
def test_text_beside_calls(family, becomes):
    assert chat_format(family).traits.text_beside_calls is becomes
    text = render(family, user("a"), says("Let me look.", call("f", "{}")), result("r"), tools=[tool("f")])
    assert ("Let me look." in text) is (becomes is not TextBesideCalls.LOST)


def test_a_template_that_takes_one_call_a_message_gets_each_with_its_result():
    calls = [call("f", "{}", "1"), call("g", "{}", "2")]
    text = render("gpt-oss", user("a"), says("", *calls), result("two", "2"), result("one", "1"), tools=[tool("f"), tool("g")])
    order = [text.index(part) for part in ("to=functions.f", '"one"', "to=functions.g", '"two"')]
    assert order == sorted(order)
    assert "functions.g to=assistant" in text[order[2] :]


def test_short_ids_are_the_same_for_a_call_and_its_result_and_kept_where_they_fit():
    text = render(
        "mistral", user("a"), says("", call("f", "{}", "call_0123456789abcdef")), result("r", "call_0123456789abcdef"), tools=[tool("f")]
    )
    made = text.split('"id": "')[1][:9]
    assert made.isalnum()
    assert f'"call_id": "{made}"' in text
    kept = render("mistral", user("a"), says("", call("f", "{}", "abcDEF123")), result("r", "abcDEF123"), tools=[tool("f")])
    assert '"id": "abcDEF123"' in kept


def test_ids_that_name_the_function_are_kept_or_made():
    turn = [
        says("", call("f", "{}", "functions.f:7")),
        result("r", "functions.f:7"),
        says("", call("g", "{}", "call_x")),
        result("s", "call_x"),
    ]
    text = render("kimi_k2", user("a"), *turn, tools=[tool("f"), tool("g")])
    assert "<|tool_call_begin|>functions.f:7<" in text
    assert "<|tool_call_begin|>functions.g:1<" in text
    assert "## Return of functions.g:1" in text


# ---- order of messages ----


def test_what_a_strict_template_refuses_is_said():
    with pytest.raises(InvalidRequestError, match="must alternate") as caught:
        render("gemma3", says("a"), user("b"))
    assert caught.value.param == "messages"
    with pytest.raises(InvalidRequestError, match="must alternate"):
        render("mistral", says("a"), user("b"))


def test_a_late_system_message_that_a_template_refuses_is_what_a_user_says():
    assert "[INST] c[/INST]" in render("mistral", user("a"), says("b"), system("c")).replace("[INST]c", "[INST] c")
    assert "a\n\nBe brief." in render("gemma3", user("a"), system("Be brief."))


def test_a_late_system_message_that_a_template_would_pass_over_is_what_a_user_says():
    assert "<|start|>user<|message|>Be brief.<|end|>" in render(
        "gpt-oss", system("s"), user("a"), says("b"), user("c"), system("Be brief.")
    )
    assert "<|im_start|>system\nBe brief.<|im_end|>" in render("qwen2.5", system("s"), user("a"), system("Be brief."))


@pytest.mark.parametrize("family", ["gpt-oss", "mistral", "gemma3"])
def test_system_messages_in_a_row_are_one_where_a_template_takes_one(family):
    assert "one\n\ntwo" in render(family, system("one"), system("two"), user("a"))


@pytest.mark.parametrize("family", ["mistral", "gemma3"])
def test_messages_of_one_side_in_a_row_are_one_where_a_template_wants_them_to_alternate(family):
    text = render(family, user("one"), user("two"), says("yes"), says("no"), user("three"))
    assert "one\n\ntwo" in text
    assert "yes\n\nno" in text
    assert "one\n\ntwo" not in render("qwen2.5", user("one"), user("two"))


# ---- reasoning ----


def test_earlier_reasoning_goes_to_templates_that_want_it():
    turn = [user("a"), says("b", reasoning="hm"), user("c")]
    assert "<think>\nhm\n</think>" in render("qwen3", *turn)
    assert "<think>hm</think>" in render("glm4.5", *turn)
    assert "hm" not in render("qwen2.5", *turn)
    called = [user("a"), says("", call("f", "{}", "1"), reasoning="hm"), result("r", "1")]
    assert "<|channel|>analysis<|message|>hm<|end|>" in render("gpt-oss", *called, tools=[tool("f")])


@pytest.mark.parametrize(
    ("family", "effort", "shown"),
    [
        ("gpt-oss", "none", "Reasoning: low"),
        ("gpt-oss", "minimal", "Reasoning: low"),
        ("gpt-oss", "medium", "Reasoning: medium"),
        ("gpt-oss", "xhigh", "Reasoning: high"),
        ("gpt-oss", "max", "Reasoning: high"),
        ("gpt-oss", None, "Reasoning: medium"),
        ("qwen3", "none", "<think>\n\n</think>\n\n"),
        ("qwen3", "minimal", "<think>\n\n</think>\n\n"),
        ("qwen3", "high", "<|im_start|>assistant\n"),
        ("deepseek_v3.1", "high", "<\uff5cAssistant\uff5c><think>"),
        ("deepseek_v3.1", "none", "<\uff5cAssistant\uff5c></think>"),
        ("glm4.5", "none", "/nothink"),
        ("qwen2.5", "high", "<|im_start|>assistant\n"),
    ],
)
def test_effort(family, effort, shown):
    assert shown in render(family, user("a"), reasoning_effort=effort)


def test_a_client_s_own_variables_count_before_its_effort():
    assert render("qwen3", user("a"), reasoning_effort="high", variables={"enable_thinking": False}).endswith("</think>\n\n")
    assert "Reasoning: high" in render("gpt-oss", user("a"), reasoning_effort="low", variables={"reasoning_effort": "high"})


@pytest.mark.parametrize("name", ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "_mlxd_tick"])
def test_what_no_variable_may_be(name):
    with pytest.raises(InvalidRequestError, match="not for a request to set") as caught:
        render("qwen3", user("a"), variables={name: "x"})
    assert caught.value.param == f"chat_template_kwargs.{name}"
