"""Agents at work in several turns: they look at a file, change it by their own tool and run it, as a scripted model has them do."""

import json

import pytest

from tests.support.installed import program, run
from tests.support.scripted.script import Rule, call, thought

BEFORE, AFTER = 'print("goodbye")\n', 'print("hello")\n'
ASKED = "Change main.py so that it says hello, then run it."
PATCH = f"*** Begin Patch\n*** Update File: main.py\n@@\n-{BEFORE}+{AFTER}*** End Patch\n"
DONE = "It says hello now."


@pytest.fixture
def project(tmp_path):
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "main.py").write_text(BEFORE)
    return directory


def turns(look, change, execute):
    """What the model says in each of four turns. What it ran prints "hello", and nothing before does."""
    return [
        Rule(turn=r"(?s)<tool_response>.*^hello$", says=DONE),
        Rule(turn=r"(?s)<tool_response>(?!.*goodbye)", says=execute),
        Rule(turn=r"(?s)<tool_response>.*goodbye", says=thought("That is not what they want.", change)),
        Rule(turn=r"main\.py", says=thought("I look at it first.", look)),
    ]


def check(daemon, project, printed):
    """The file is another one, the model was told what it prints, and from the second turn on nothing was computed again."""
    assert (project / "main.py").read_text() == AFTER, printed
    assert DONE in printed
    asked = [event for event in daemon.events("request_finished") if event["prompt_tokens"] > 5_000]
    for before, after in zip(asked[-4:], asked[-3:], strict=False):
        assert after["cached_tokens"] > before["prompt_tokens"] - 100


def multiline(rules):
    return [Rule(rule.says, f"(?m){rule.turn}", rule.prompt) for rule in rules]


def test_claude_code(scripted, project):
    file = str(project / "main.py")
    look, execute = (
        call("Read", "I look. ", file_path=file),
        call("Bash", "Now I run it. ", command=f"python3 {file}", description="Run it"),
    )
    scripted.say(*multiline(turns(look, call("Edit", file_path=file, old_string="goodbye", new_string="hello"), execute)))
    environment = {"ANTHROPIC_BASE_URL": scripted.url, "ANTHROPIC_AUTH_TOKEN": "none", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    allowed = ["--permission-mode", "acceptEdits", "--allowedTools", "Read", "Edit", "Bash"]
    check(scripted, project, run([program("claude"), "-p", ASKED, *allowed], project, **environment))


def test_codex_applies_a_patch(scripted, project):
    look, execute = call("exec_command", "I look. ", cmd="cat main.py"), call("exec_command", "Now I run it. ", cmd="python3 main.py")
    scripted.say(*multiline(turns(look, call("apply_patch", input=PATCH), execute)))
    settings = {
        "model": "gpt-5.5",  # of which Codex knows that it writes patches
        "model_provider": "mlxd",
        "model_providers.mlxd.name": "mlxd",
        "model_providers.mlxd.base_url": f"{scripted.url}/v1",
    }
    given = [word for name, value in settings.items() for word in ("-c", f"{name}={json.dumps(value)}")]
    sandbox = ["--skip-git-repo-check", "--sandbox", "workspace-write"]
    check(scripted, project, run([program("codex"), "exec", *given, *sandbox, ASKED], project))


def test_opencode(scripted, project):
    file = str(project / "main.py")
    look, execute = call("read", "I look. ", filePath=file), call("bash", "Now I run it. ", command=f"python3 {file}", description="Run it")
    scripted.say(*multiline(turns(look, call("edit", filePath=file, oldString="goodbye", newString="hello"), execute)))
    provider = {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": f"{scripted.url}/v1"}, "models": {"default": {}}}
    (project / "opencode.json").write_text(json.dumps({"model": "mlxd/default", "provider": {"mlxd": provider}}))
    check(scripted, project, run([program("opencode"), "run", ASKED], project))
