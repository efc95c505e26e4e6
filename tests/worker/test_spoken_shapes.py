"""The shapes of a model's answers, found in a directory of files and told to the daemon."""

import json
import shutil

import pytest

from mlxd.types import ReasoningShape, ToolShape
from mlxd.wire.messages import Ready
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.runtime.tokenizing import open_tokenizer
from mlxd.worker.text.shapes import AS_SHOWN, WishedShapes
from tests.unit.worker_text.conversations import TEMPLATES
from tests.worker.worker_link import in_thread


@pytest.fixture
def model(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "model")


def opened(model, wished=AS_SHOWN):
    return open_tokenizer(DirectoryFacts.read(model), wished)


def edit(model, **changes):
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_template_without_tools_has_them_told(model):
    shapes = opened(model).chat.shapes
    assert (shapes.tools, shapes.reasoning) == (ToolShape.HERMES, ReasoningShape.NONE)
    assert shapes.tools_origin == "the chat template shows no tools, so mlxd's own prompt does"


def test_a_template_with_tools_says_how(model):
    shutil.copy(TEMPLATES / "qwen3_coder.jinja", model / "chat_template.jinja")
    shapes = opened(model).chat.shapes
    assert (shapes.tools, shapes.tools_origin) == (ToolShape.QWEN_XML, "a call by chat_template.jinja has <function=")


def test_a_template_that_tells_of_tools_in_a_form_that_nobody_knows_has_them_told_instead(model):
    (model / "chat_template.jinja").write_text(
        "{{ tools }}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% for c in m.tool_calls or [] %}@@{{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}{% endfor %}"
    )
    found = opened(model)
    assert found.chat.shapes.tools is ToolShape.HERMES
    assert not found.chat.traits.shows_tools
    assert any("in a form that is not known here" in warning for warning in found.warnings)


@pytest.mark.parametrize("form", ["list", "folder"])
def test_a_template_for_conversations_with_tools_counts_for_them(model, form):
    plain = json.loads((model / "tokenizer_config.json").read_text())["chat_template"]
    for_tools = (TEMPLATES / "glm4.5.jinja").read_text(encoding="utf-8")
    if form == "list":
        edit(model, chat_template=[{"name": "default", "template": plain}, {"name": "tool_use", "template": for_tools}])
    else:
        (model / "additional_chat_templates").mkdir()
        (model / "additional_chat_templates" / "tool_use.jinja").write_text(for_tools, encoding="utf-8")
    chat = opened(model).chat
    assert chat.shapes.tools is ToolShape.GLM
    assert chat.renderer is not chat.with_tools.renderer


def test_a_broken_one_of_them_is_warned_of(model):
    (model / "additional_chat_templates").mkdir()
    (model / "additional_chat_templates" / "tool_use.jinja").write_text("{% if %}", encoding="utf-8")
    found = opened(model)
    assert found.chat.with_tools is None
    assert any("additional_chat_templates/tool_use.jinja" in warning for warning in found.warnings)


@pytest.mark.parametrize("parser", ["mistral", "of_next_year"])
def test_a_parser_that_is_not_the_template_s_is_warned_of(model, parser):
    shutil.copy(TEMPLATES / "qwen3.jinja", model / "chat_template.jinja")
    edit(model, tool_parser_type=parser)
    found = opened(model)
    assert found.chat.shapes.tools is ToolShape.HERMES
    assert any("tool_parser_type" in warning and parser in warning for warning in found.warnings)


def test_a_shape_that_nothing_of_the_model_supports_is_warned_of(model):
    shutil.copy(TEMPLATES / "qwen3.jinja", model / "chat_template.jinja")
    found = opened(model, WishedShapes(ToolShape.MISTRAL, ReasoningShape.COHERE))
    assert (found.chat.shapes.tools, found.chat.shapes.reasoning) == (ToolShape.MISTRAL, ReasoningShape.COHERE)
    assert any('output.tools is "mistral"' in warning and "[TOOL_CALLS]" in warning for warning in found.warnings)
    assert any('output.reasoning is "cohere"' in warning for warning in found.warnings)


async def test_the_daemon_is_told(tiny):
    async with in_thread() as link:
        ready = await link.load(tiny, tools=ToolShape.JSON)
        assert isinstance(ready, Ready)
        assert (ready.facts.tools, ready.facts.reasoning) == (ToolShape.JSON, ReasoningShape.NONE)
        assert ready.facts.tools_origin == 'set in the configuration: output.tools = "json"'
        assert any('output.tools is "json"' in warning for warning in ready.facts.warnings)


FAMILIES = [
    "qwen2.5",
    "qwen3",
    "qwen3_coder",
    "glm4.5",
    "mistral",
    "kimi_k2",
    "deepseek_v3.1",
    "llama3.1",
]  # gpt-oss is read by its control tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_calls_are_read_as_their_template_writes_them(model, family):
    shutil.copy(TEMPLATES / f"{family}.jinja", model / "chat_template.jinja")
    assert [warning for warning in opened(model).warnings if "calls may stay text" in warning] == []


def test_a_shape_that_does_not_read_them_is_warned_of(model):
    shutil.copy(TEMPLATES / "qwen3_coder.jinja", model / "chat_template.jinja")
    assert any("is no call of the shape glm" in warning for warning in opened(model, WishedShapes(tools=ToolShape.GLM)).warnings)
