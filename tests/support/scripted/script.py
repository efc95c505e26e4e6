"""What a scripted model says: a file of rules, read anew for every prompt, so that a test may write it while the model is loaded."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "script.json"
_TURN = "<|im_start|>user\n"  # where the last turn of a rendered prompt begins; results of tools are the user's, too
_ELSE = "There is nothing to do."


@dataclass(frozen=True)
class Rule:
    """``says`` is the answer to a prompt whose last turn has ``turn`` in it, and which has ``prompt`` in it anywhere: patterns."""

    says: str
    turn: str = ""
    prompt: str = ""


def write_script(directory: Path, *rules: Rule) -> Path:
    """Has the model in this directory say so from now on; the first rule that fits counts."""
    directory.mkdir(parents=True, exist_ok=True)
    new = directory / f"{FILE}.new"
    new.write_text(json.dumps([asdict(rule) for rule in rules]))
    new.replace(directory / FILE)
    return directory


def answer_to(directory: Path, prompt: str) -> str:
    """What the model says to a rendered prompt."""
    rules = [Rule(**rule) for rule in json.loads((directory / FILE).read_text())]
    turn = prompt[max(0, prompt.rfind(_TURN)) :]
    return next((rule.says for rule in rules if re.search(rule.turn, turn) and re.search(rule.prompt, prompt)), _ELSE)


def call(name: str, text: str = "", /, **arguments) -> str:
    """A call as the model's template wants it written, behind some text."""
    return f"{text}<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def thought(reasoning: str, answer: str) -> str:
    """An answer behind what was thought of it."""
    return f"<think>\n{reasoning}\n</think>\n\n{answer}"
