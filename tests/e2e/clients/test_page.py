"""docs/clients.md: what it says one has to type is typed here, for every client that is installed."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.installed import node_modules, program, python_with, run
from tests.support.scripted.script import Rule, call

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
SECTION = re.compile(r"^### (?P<name>.+?)\n(?P<text>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(?P<language>sh|python|js)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
STATUS = re.compile(r"^\*(Run by a test|Read, not run)[.:].*\*$", re.MULTILINE)
ADDRESS = "http://localhost:8000"
ASKED = "hello.py"
WRITTEN = 'print("hello")\n'
SAID = "Hello from the script."


@dataclass(frozen=True)
class Lines:
    """What is to be typed for one client."""

    client: str
    language: str
    text: str
    is_run: bool


def lines():
    """Yields each client's lines, as the page has them."""
    for section in SECTION.finditer(PAGE.read_text()):
        block, status = BLOCK.search(section["text"]), STATUS.search(section["text"])
        assert status, section["name"]
        assert block or status[1] == "Read, not run", section["name"]
        if block:
            yield Lines(section["name"], block["language"], block["text"], status[1] == "Run by a test")


LINES = {one.client: one for one in lines()}
RUN = [name for name, one in LINES.items() if one.is_run]

# How each agent's own tool is called that writes a file.
WRITES = {
    "Claude Code": lambda path: call("Write", file_path=str(path), content=WRITTEN),
    "Codex": lambda path: call("exec_command", cmd=f"printf '%s\\n' 'print(\"hello\")' > {path}"),
    "opencode": lambda path: call("write", filePath=str(path), content=WRITTEN),
    "Cline": lambda path: call("editor", path=str(path), new_text=WRITTEN),
    "Continue": lambda path: call("Write", filepath=str(path), content=WRITTEN),
    "aider": lambda path: f"{path.name}\n```\n{WRITTEN}```\n",
}
PROGRAMS = {
    "Claude Code": "claude",
    "Codex": "codex",
    "opencode": "opencode",
    "Cline": "cline",
    "Continue": "cn",
    "aider": "aider",
    "curl": "curl",
    "llm": "llm",
}
MODULES = {
    "OpenAI's SDK for Python": "openai",
    "Anthropic's SDK for Python": "anthropic",
    "LangChain": "langchain_openai",
    "LiteLLM": "litellm",
    "Pydantic AI": "pydantic_ai",
}
PACKAGES = {
    "Anthropic's SDK for Node": ["@anthropic-ai/sdk"],
    "OpenAI's SDK for Node": ["openai"],
    "AI SDK": ["ai", "@ai-sdk/openai-compatible"],
}


def test_every_client_is_there():
    assert {*WRITES, "Open WebUI", "LangChain", "LiteLLM", "Pydantic AI", "curl"} <= LINES.keys()


@pytest.mark.parametrize("client", LINES)
def test_it_is_a_few_lines(client):
    assert len(LINES[client].text.splitlines()) <= 12


@pytest.mark.parametrize("client", [name for name in RUN if name in WRITES])
def test_the_agent_writes_a_file(scripted, tmp_path, client):
    program(PROGRAMS[client])
    directory = tmp_path / "project"
    directory.mkdir()
    scripted.say(Rule(turn="<tool_response>", says="It is written."), Rule(turn=ASKED, says=WRITES[client](directory / ASKED)))
    printed = typed(LINES[client], directory, scripted.url)
    assert (directory / ASKED).read_text() == WRITTEN, printed


@pytest.mark.parametrize("client", [name for name in RUN if name not in WRITES])
def test_the_client_gets_an_answer(scripted, tmp_path, client):
    scripted.say(Rule(says=SAID))
    assert SAID in typed(LINES[client], tmp_path, scripted.url)


def typed(one, directory, url):
    """What is printed when one types the lines."""
    text = one.text.replace(ADDRESS, url)
    if one.client in PROGRAMS:
        program(PROGRAMS[one.client])
    match one.language:
        case "sh":
            return run(["bash", "-euc", text], directory)
        case "python":
            return run([python_with(MODULES[one.client]), "-c", text], directory)
        case "js":
            found = node_modules(*PACKAGES[one.client])
            (directory / "node_modules").symlink_to(found)
            (directory / "main.mjs").write_text(text)
            return run([program("node"), "main.mjs"], directory)
