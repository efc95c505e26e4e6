"""POST /v1/rerank and /v1/score, under each of their names, with a worker that the test plays."""

import threading

import pytest
from msgspec.structs import replace

from mlxd.api.encoding import encode
from mlxd.api.encoding import pairs as api_pairs
from mlxd.errors import ContextLengthError
from mlxd.types import Task
from mlxd.wire.encoding_facts import EncodingFacts
from mlxd.wire.jobs import TextPair

RERANKS = ["/v1/rerank", "/rerank", "/v2/rerank"]
SCORES = ["/v1/score", "/score"]
ASKED = {"model": "judge", "query": "q", "documents": ["bad", "good", "also good", "fair"]}
WORTH = {"bad": 0.0, "good": 1.0, "also good": 1.0, "fair": 0.5}
TEXTS = {"model": "judge", "text_1": "q", "text_2": ["bad", "good"]}


def judge(request):
    """The last pair first."""
    request.started(cache=None)
    for place, pair in reversed([*enumerate(request.job.pairs)]):
        request.scored({place: WORTH[pair.document]})
    request.finish()


@pytest.fixture
def judging(server):
    model = server.registry.add("judge")
    model.ready = replace(model.ready, tasks=(Task.RERANK,), encoding=EncodingFacts(most_tokens=512, scores="sigmoid"))
    model.client.script = judge
    server.judge = model
    return server


def sent(judging):
    return judging.judge.client.submitted[0].job


@pytest.mark.parametrize("path", RERANKS)
async def test_the_order(judging, path):
    status, body, _ = await judging.answer(ASKED, path)
    assert status == 200
    found = [(one["index"], one["relevance_score"]) for one in body["results"]]
    assert found == [(1, 1.0), (2, 1.0), (3, 0.5), (0, 0.0)]
    assert all(one.keys() == {"index", "relevance_score"} for one in body["results"])
    assert body["id"].startswith("rerank-")
    assert body["meta"]["api_version"]["version"] == ("2" if path == "/v2/rerank" else "1")
    assert body["meta"]["billed_units"] == {"search_units": 1}
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert sent(judging).pairs[1] == TextPair("q", "good")


@pytest.mark.parametrize(("top", "indexes"), [(1, [1]), (2, [1, 2]), (0, [1, 2, 3, 0]), (99, [1, 2, 3, 0])])
async def test_the_best_alone(judging, top, indexes):
    _, body, _ = await judging.answer(ASKED | {"top_n": top}, "/v1/rerank")
    assert [one["index"] for one in body["results"]] == indexes


async def test_documents_come_back_as_they_were_sent(judging):
    documents = ["bad", {"text": "good", "title": "mine"}]
    _, body, _ = await judging.answer(ASKED | {"documents": documents, "return_documents": True}, "/v1/rerank")
    assert [one["document"] for one in body["results"]] == [{"text": "good", "title": "mine"}, {"text": "bad"}]


@pytest.mark.parametrize(
    ("fields", "cut"),
    [
        ({}, (False, None, None)),
        ({"truncate": True}, (True, None, None)),
        ({"max_tokens_per_doc": 100}, (True, None, 100)),
        ({"max_tokens_per_doc": None}, (False, None, None)),
        ({"truncate_prompt_tokens": -1, "truncation_side": "right"}, (True, None, None)),
        ({"truncate_prompt_tokens": 30, "max_tokens_per_doc": 9}, (True, 30, 9)),
    ],
)
async def test_documents_are_cut_where_that_is_asked_for(judging, fields, cut):
    assert (await judging.answer(ASKED | fields | {"instruction": "i", "max_chunks_per_doc": 10}, "/v1/rerank"))[0] == 200
    job = sent(judging)
    assert ((job.truncate, job.most_tokens, job.document_tokens), job.instruction) == (cut, "i")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": "bad"}, "documents"),
        ({"documents": ["bad", ""]}, "documents[1]"),
        ({"documents": ["bad", 7]}, "documents[1]"),
        ({"documents": ["bad", {"title": "x"}]}, "documents[1].text"),
        ({"documents": [{"title": "x"}], "rank_fields": ["title"]}, "rank_fields"),
        ({"query": ""}, "query"),
        ({"query": None}, "query"),
        ({"top_n": -1}, "top_n"),
        ({"max_tokens_per_doc": 0}, "max_tokens_per_doc"),
        ({"truncation_side": "left"}, "truncation_side"),
        ({"query": "é" * 10_000, "documents": ["bad"] * 5_000}, "documents"),  # 100 MB, each with its query
        ({"use_activation": False}, "use_activation"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_refusals_of_a_rerank_name_the_field(judging, fields, param):
    status, body, _ = await judging.answer(ASKED | fields, "/v1/rerank")
    assert (status, body["error"]["param"]) == (400, param)
    assert judging.judge.client.submitted == []


async def test_many_documents_of_a_small_body_do_not_hold_up_others(judging, monkeypatch):
    """The worker's job has the query with each of them."""
    threads, to_wire = [], encode._to_wire

    def watched(*asked):
        threads.append(threading.current_thread())
        return to_wire(*asked)

    monkeypatch.setattr(encode, "_to_wire", watched)
    for count in (2, 200):
        assert (await judging.answer(ASKED | {"documents": ["bad"] * count}, "/v1/rerank"))[0] == 200
    assert [one is threading.main_thread() for one in threads] == [True, False]


@pytest.mark.parametrize("path", SCORES)
async def test_scores_in_the_order_of_the_pairs(judging, path):
    status, body, _ = await judging.answer(TEXTS, path)
    assert status == 200
    assert (body["object"], body["model"]) == ("list", "judge")
    assert body["data"] == [{"index": 0, "object": "score", "score": 0.0}, {"index": 1, "object": "score", "score": 1.0}]
    assert body["usage"]["total_tokens"] == 7


NAMES = [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize(
    ("texts", "made"),
    [
        (("a", "bad"), [("a", "bad")]),
        (("a", ["bad", "good"]), [("a", "bad"), ("a", "good")]),
        ((["a"], ["bad", "good"]), [("a", "bad"), ("a", "good")]),
        ((["a", "b"], ["bad", "good"]), [("a", "bad"), ("b", "good")]),
    ],
)
async def test_pairs(judging, names, texts, made):
    assert (await judging.answer({"model": "judge"} | dict(zip(names, texts, strict=True)), "/score"))[0] == 200
    assert [(pair.query, pair.document) for pair in sent(judging).pairs] == made


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"text_1": ["a", "b"], "text_2": ["c"]}, "text_1"),
        ({"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, "text_1"),
        ({"text_1": "a", "text_2": []}, "text_2"),
        ({"text_1": "a", "text_2": ["b", ""]}, "text_2[1]"),
        ({"text_1": 7, "text_2": "b"}, "text_1"),
        ({"text_1": "a"}, "text_1"),
        ({"text_1": "a", "documents": "b"}, "documents"),
        ({"text_1": "a", "text_2": "b", "queries": "c"}, "queries"),
        ({}, "text_1"),
    ],
)
async def test_refusals_of_scores_name_the_field(judging, fields, param):
    status, body, _ = await judging.answer({"model": "judge"} | fields, "/score")
    assert (status, body["error"]["param"]) == (400, param)


@pytest.mark.parametrize(("texts", "param"), [(["bad", "good"], "text_2[1]"), ("good", "text_2")])
async def test_a_pair_that_the_worker_refuses_is_named_as_the_client_does(judging, texts, param):
    at = len(texts) - 1 if isinstance(texts, list) else 0
    error = ContextLengthError(f"documents[{at}] has 600 tokens", param=f"documents[{at}]")
    judging.judge.client.script = lambda request: request.fail(error)
    status, body, _ = await judging.answer(TEXTS | {"text_2": texts}, "/score")
    assert (status, body["error"]["param"], body["error"]["message"]) == (400, param, f"{param} has 600 tokens")


async def test_a_query_with_each_of_many_documents_is_bounded(judging, monkeypatch):
    monkeypatch.setattr(api_pairs, "_MOST_BYTES", 100)
    status, body, _ = await judging.answer(ASKED | {"query": "q" * 40}, "/v1/rerank")
    assert (status, body["error"]["param"]) == (400, "documents")


async def test_models_that_do_something_else_are_refused_by_name(judging):
    for path, asked in (("/v1/rerank", ASKED), ("/v1/score", TEXTS)):
        status, body, _ = await judging.answer(asked | {"model": "tiny"}, path)
        assert (status, body["error"]["code"]) == (400, "unsupported_task")
        assert "judge" in body["error"]["message"]


async def test_what_is_recorded(judging):
    await judging.answer(ASKED, "/v2/rerank")
    await judging.answer(TEXTS, "/score")
    records = [await judging.telemetry.next_record() for _ in range(2)]
    assert [(record.endpoint, record.texts) for record in records] == [("rerank", 4), ("score", 2)]
