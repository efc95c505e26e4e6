"""OpenAI's predicted outputs: what the client thinks the answer will be goes to the worker, and what cannot be one is refused."""

import pytest

from mlxd.errors import InvalidRequestError
from tests.support.chat_requests import chat, job
from tests.support.fake_registry import echo
from tests.unit.api.conftest import HELLO

PARTS = [{"type": "text", "text": "class "}, {"type": "text", "text": "Seats:"}]


@pytest.mark.parametrize(("content", "text"), [("class Seats:", "class Seats:"), (PARTS, "class Seats:"), ("", "")])
def test_it_reaches_the_worker_as_one_text(content, text):
    assert job(chat(prediction={"type": "content", "content": content})).output.predicted == text


@pytest.mark.parametrize("nothing", [{}, {"prediction": None}])
def test_there_need_not_be_any(nothing):
    assert job(chat(**nothing)).output.predicted == ""


@pytest.mark.parametrize(
    ("prediction", "param"),
    [
        ("class Seats:", "prediction"),
        ({"content": "x"}, "prediction.type"),
        ({"type": "text", "content": "x"}, "prediction.type"),
        ({"type": "content"}, "prediction.content"),
        ({"type": "content", "content": 5}, "prediction.content"),
        ({"type": "content", "content": []}, "prediction.content"),
        ({"type": "content", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "prediction.content[0].type"),
        ({"type": "content", "content": "x", "weight": 1}, "prediction.weight"),
    ],
)
def test_what_is_wrong_is_named(prediction, param):
    with pytest.raises(InvalidRequestError) as refused:
        job(chat(prediction=prediction))
    assert refused.value.param == param


async def test_several_answers_each_have_it_with_them(server, monkeypatch):
    monkeypatch.setattr("mlxd.api.jobs._MOST_BYTES", 4000)
    prediction = {"type": "content", "content": "x" * 1000}
    status, answer, _ = await server.answer(HELLO | {"n": 4, "prediction": prediction})
    assert (status, answer["error"]["param"]) == (400, "n")
    server.worker.script = echo
    status, _, _ = await server.answer(HELLO | {"n": 2, "prediction": prediction})
    assert status == 200
