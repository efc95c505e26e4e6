"""SDKs for Node against a scripted model: each script of ``node`` asserts for itself."""

from pathlib import Path

import pytest

from tests.support.installed import node_modules, program, run
from tests.support.scripted.script import Rule, call, thought

SCRIPTS = {
    "anthropic": ["@anthropic-ai/sdk"],
    "openai": ["openai"],
    "ai-sdk": ["ai", "@ai-sdk/anthropic", "@ai-sdk/openai", "@ai-sdk/openai-compatible"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_sdk_takes_it_all(scripted, tmp_path, script):
    weather = thought("They ask for the weather.", call("get_weather", "Let me look. ", city="Oslo"))
    scripted.say(Rule(turn="<tool_response>", says="It is sunny."), Rule(says=weather))
    found = node_modules(*SCRIPTS[script])
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "node_modules").symlink_to(found)
    (directory / "main.mjs").write_text((Path(__file__).parent / "node" / f"{script}.mjs").read_text())
    assert "all right" in run([program("node"), "main.mjs", scripted.url], directory)
