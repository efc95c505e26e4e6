import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.chat_template import find_chat_template
from tests.unit.worker_facts.directories import sources, write_json

NAMED = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]


def found(directory, *, config=None, file=None, json_file=None, additional=()):
    made = sources(directory, tokenizer={} if config is None else {"chat_template": config})
    if file is not None:
        (directory / "chat_template.jinja").write_text(file)
    if json_file is not None:
        write_json(directory / "chat_template.json", {"chat_template": json_file})
    for name in additional:
        (directory / "additional_chat_templates").mkdir(exist_ok=True)
        (directory / "additional_chat_templates" / f"{name}.jinja").write_text(name)
    return find_chat_template(made)


@pytest.mark.parametrize(
    ("files", "text", "origin"),
    [
        ({"config": "a"}, "a", 'tokenizer_config.json "chat_template"'),
        ({"file": "b"}, "b", "chat_template.jinja"),
        ({"json_file": "c"}, "c", 'chat_template.json "chat_template"'),
        ({"config": NAMED}, "plain", 'tokenizer_config.json "chat_template", default'),
        ({"config": {"default": "plain", "rag": "r"}}, "plain", 'tokenizer_config.json "chat_template", default'),
        ({"config": NAMED[:1]}, "tools", 'tokenizer_config.json "chat_template", tool_use'),
        ({"additional": ["tool_use"]}, "tool_use", "additional_chat_templates/tool_use.jinja"),
        ({"config": "a", "file": "b", "json_file": "c"}, "b", "chat_template.jinja"),
        ({"config": "a", "json_file": "c"}, "a", 'tokenizer_config.json "chat_template"'),
        ({"config": "a", "additional": ["tool_use"]}, "a", 'tokenizer_config.json "chat_template"'),
        ({"file": "b", "additional": ["default", "rag"]}, "b", "chat_template.jinja"),
    ],
)
def test_every_form_is_found_and_said(tmp_path, files, text, origin):
    chosen = found(tmp_path, **files).chosen
    assert (chosen.text, chosen.origin) == (text, origin)


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json"])
def test_that_of_a_processor_counts_before_the_tokenizer_s_where_the_model_sees(tmp_path, name):
    """The tokenizer's is often the one of the model of text that it was made of."""
    write_json(tmp_path / name, {"chat_template": "with pictures"})
    for config, text in (({"vision_config": {}}, "with pictures"), ({}, "text alone")):
        made = sources(tmp_path, config={"model_type": "llava"} | config, tokenizer={"chat_template": "text alone"})
        assert find_chat_template(made).chosen.text == text


@pytest.mark.parametrize("files", [{}, {"config": ""}, {"file": " \n"}, {"config": []}, {"json_file": None}])
def test_a_model_without_one(tmp_path, files):
    assert found(tmp_path, **files).chosen is None


def test_several_and_no_default_is_a_model_that_cannot_chat_and_says_so(tmp_path):
    templates = found(tmp_path, additional=["rag", "tool_use"])
    assert templates.chosen is None
    assert "rag, tool_use, and none is the default" in templates.warning


@pytest.mark.parametrize("value", [7, [7], ["text"], [{"name": "default"}], [{"name": 1, "template": "x"}], {"default": None}])
@pytest.mark.parametrize("where", ["config", "json_file"])
def test_what_is_no_template_is_named_with_file_and_key(tmp_path, where, value):
    with pytest.raises(ModelSourceError, match=r'[a-z_]+\.json: "chat_template" is '):
        found(tmp_path, **{where: value})


def test_a_file_that_is_no_text(tmp_path):
    made = sources(tmp_path)
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelSourceError, match=r"chat_template\.jinja is not UTF-8"):
        find_chat_template(made)
