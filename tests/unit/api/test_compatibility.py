"""docs/compatibility.md is current, and has a row for every field that anybody obeys."""

import re
from pathlib import Path

import pytest

from mlxd.api import reference
from mlxd.api.anthropic import leniency as anthropic
from mlxd.api.anthropic.messages import MessagesRequest
from mlxd.api.media import leniency as media
from mlxd.api.openai import leniency as openai
from mlxd.api.openai.chat import ChatRequest
from mlxd.api.openai.completions import CompletionRequest
from mlxd.api.openai.peers import PEERS
from mlxd.api.responses import leniency as responses
from mlxd.api.responses.request import ResponsesRequest

PAGE = Path(__file__).parents[3] / "docs" / "compatibility.md"
TEXT = reference.reference()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
CHAT, COMPLETIONS = "Chat completions", "Text completions"


def rows(section):
    return {
        cells[0].strip("`"): cells[1:]
        for cells in (line.strip("| ").split(" | ") for line in SECTIONS[section].splitlines()[2:])
        if cells[0]
    }


def test_it_is_current():
    assert PAGE.read_text() == TEXT + "\n", "run: make docs"


@pytest.mark.parametrize(("section", "request_kind"), [(CHAT, ChatRequest), (COMPLETIONS, CompletionRequest)])
def test_every_field_has_a_row_with_what_each_server_does(section, request_kind):
    found = rows(section)
    assert set(found) >= {*request_kind.model_fields, *request_kind.tolerated}
    assert all(len(cells) == 1 + len(PEERS) and all(cells) for cells in found.values())
    for name in request_kind.model_fields:
        assert found[name][0].startswith("yes")
    for peer in PEERS:
        assert set(found) >= set(peer.chat if section == CHAT else peer.completions), peer.name


@pytest.mark.parametrize(("section", "request_kind"), [("Responses", ResponsesRequest), ("Messages", MessagesRequest)])
def test_every_field_of_the_other_apis_has_a_row(section, request_kind):
    found = rows(section)
    assert set(found) == {*request_kind.model_fields, *request_kind.tolerated}
    assert {name for name, (said,) in found.items() if said.startswith("yes")} == {*request_kind.model_fields}


def test_words_for_what_is_done():
    chat, completions = rows(CHAT), rows(COMPLETIONS)
    assert chat["n"][:2] == ["yes, 1 to 128", "yes"]
    assert chat["user"][0].startswith("hint: ")
    assert chat["typical_p"][0] == "refused but for `1`"
    assert chat["audio"][0] == "refused"
    assert chat["xtc_probability"][2:4] == ["ignored", "yes"]
    assert completions["suffix"] == ['refused but for `""`', "yes", "ignored", "ignored", "yes", "refused"]


@pytest.mark.parametrize("leniency", [openai, responses, anthropic, media])
def test_every_table_of_what_is_tolerated_is_shown(leniency):
    inside = {id(rules) for places in reference._WITHIN.values() for rules in places.values()}
    tables = {name: rules for name, rules in vars(leniency).items() if isinstance(rules, dict) and name.isupper() and name[0] != "_"}
    of_bodies = {id(kind.tolerated) for kind in (ChatRequest, CompletionRequest, ResponsesRequest, MessagesRequest)}
    assert {name for name, rules in tables.items() if id(rules) not in inside | of_bodies} <= {"HINTS", "SAMPLERS"}


def test_what_is_said_to_differ_is_a_field_that_is_obeyed():
    assert set(reference._DIFFERENT) <= {*ChatRequest.model_fields, *CompletionRequest.model_fields}
    assert set(reference._RESPONSES) <= {*ResponsesRequest.model_fields}
    assert set(reference._MESSAGES) <= {*MessagesRequest.model_fields}


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (PAGE.parent / target.partition("#")[0]).exists(), target
