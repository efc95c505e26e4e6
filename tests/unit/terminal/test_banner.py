"""The line to try that stands below the daemon's address."""

import json
import re

import pytest

from mlxd.terminal.banner import BannerModel, banner


def tried(*models, url="http://127.0.0.1:8000"):
    """Returns the path and the body of the line."""
    [found] = re.findall(r"curl \S+?(/v1/\S+) .* -d '(.*)'", banner("1", "/mlxd.toml", [url], ["unix:/a"], models))
    return found[0], json.loads(found[1])


@pytest.mark.parametrize(
    ("task", "path", "fields"),
    [
        ("auto", "/v1/chat/completions", {"messages", "temperature"}),
        ("generate", "/v1/chat/completions", {"messages", "temperature"}),
        ("embed", "/v1/embeddings", {"input"}),
        ("rerank", "/v1/rerank", {"query", "documents"}),
    ],
)
def test_it_is_one_that_the_model_can_answer(task, path, fields):
    asked, body = tried(BannerModel("one", "org/one", "loading", task))
    assert (asked, body.keys() - {"model"}, body["model"]) == (path, fields, "one")


def test_of_several_models_one_that_generates_is_tried():
    models = [BannerModel("mini", "org/mini", "loading", "embed"), BannerModel("tiny", "org/tiny", "loading")]
    assert tried(*models)[1]["model"] == "tiny"


def test_without_models_there_is_nothing_to_try():
    assert "Try" not in banner("1", "/mlxd.toml", ["http://127.0.0.1:8000"], [], [])
