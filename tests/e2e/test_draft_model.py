"""A model with a draft model, as an operator has it: the same text, figures of both, reloads, and a pair that does not go together."""

import json

from tests.e2e.client import post
from tests.e2e.conftest import TINY
from tests.support.tiny_model import make_tiny_model

LARGE = TINY.replace("/model", "/large")
DRAFT = '[models.tiny.speculation]\nkind = "{kind}"\ndraft = "{{dir}}/{draft}"\n'
PROMPT = {"model": "tiny", "prompt": "once upon a time", "max_tokens": 60, "ignore_eos": True}


def drafting(kind, draft="small"):
    return LARGE + DRAFT.format(kind=kind, draft=draft)


def said(daemon):
    """What it says, greedily and by chance."""
    asked = [PROMPT | {"temperature": 0}, PROMPT | {"temperature": 1, "seed": 5}]
    return [post(daemon, "/v1/completions", one)[2]["choices"][0]["text"] for one in asked]


def test_a_draft_model_changes_what_is_computed_and_never_what_is_said(start_daemon, tmp_path):
    make_tiny_model(tmp_path / "large", num_hidden_layers=8)
    make_tiny_model(tmp_path / "small", num_hidden_layers=1)
    other = make_tiny_model(tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["added_tokens"][1]["content"] = "<|turn|>"
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    daemon = start_daemon(drafting("off").replace("{dir}", str(tmp_path)))
    daemon.wait_ready()
    before = daemon.model()
    assert before["facts"]["draft"]["source"] == str(tmp_path / "small")
    assert before["memory"]["weights_bytes"] > before["facts"]["draft"]["weight_bytes"] > 0
    expected = said(daemon)
    assert daemon.model()["tokens"]["drafted"] == 0

    assert daemon.reload(drafting("draft").replace("{dir}", str(tmp_path)))[1]["result"] == "applied"
    assert said(daemon) == expected
    after = daemon.model()
    assert after["pid"] == before["pid"]  # kind is live
    assert after["tokens"]["drafted"] > 0

    answer = daemon.reload(drafting("draft", "other").replace("{dir}", str(tmp_path)))[1]
    assert answer["result"] == "failed"
    for named in (tmp_path / "large", tmp_path / "other", '"<|turn|>" there'):
        assert str(named) in answer["models"]["tiny"]
    assert said(daemon) == expected
