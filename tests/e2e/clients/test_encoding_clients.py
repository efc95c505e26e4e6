"""Clients that ask for vectors and scores, unmodified, against a worker whose every number is known."""

import base64
import json
import struct
from array import array
from pathlib import Path

import aiohttp
import openai
import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.support.encoding_worker import DIMENSION, score_of, vector_of
from tests.support.installed import node_modules, program, python_with, run
from tests.support.recorded_requests import recorded_requests

MODELS = '[models.vectors]\nsource = "fake/embeds"\n[models.scores]\nsource = "fake/reranks"\n'
EXPECTED = [vector_of("one two"), vector_of("three"), vector_of("4 5")]
GIVEN = json.dumps(EXPECTED)
MANY = [" ".join(["word"] * (number % 37 + 1) + [str(number)]) for number in range(2048)]
PATHS = {"/v1/embeddings": "vectors", "/v1/rerank": "scores", "/v2/rerank": "scores"}
SENT = {one.client: one for one in recorded_requests() if one.path in PATHS}
SCRIPTS = {
    "langchain_vectors": "langchain_openai",
    "llama_index_vectors": "llama_index",
    "cohere_scores": "cohere",
}


@pytest.fixture(scope="module")
def encoding(tmp_path_factory):
    with DaemonProcess(tmp_path_factory.mktemp("encoding"), MODELS, module="tests.support.fake_daemon") as started:
        started.wait_ready()
        yield started


@pytest.fixture
def client(encoding):
    with openai.OpenAI(base_url=f"{encoding.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def vectors(answer):
    assert [one.index for one in answer.data] == list(range(len(answer.data)))
    return [one.embedding for one in answer.data]


def as_float32(numbers):
    return [*array("f", numbers)]


async def posted(url, body):
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return response.status, await response.json()


# ---- OpenAI's SDKs ----


@pytest.mark.parametrize("fields", [{}, {"encoding_format": "float"}], ids=["unsaid", "float"])
def test_python_gets_the_floats(client, fields):
    answer = client.embeddings.create(model="vectors", input=["one two", "three"], **fields)
    assert [as_float32(one) for one in vectors(answer)] == EXPECTED[:2]
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("vectors", 3, 3)


def test_python_gets_the_bytes_that_it_asks_for(client):
    [one] = vectors(client.embeddings.create(model="vectors", input="three", encoding_format="base64"))
    assert list(struct.unpack(f"<{DIMENSION}f", base64.b64decode(one, validate=True))) == EXPECTED[1]


def test_python_s_tokens_and_dimensions(client):
    assert vectors(client.embeddings.create(model="vectors", input=[[4, 5], [6]])) == [EXPECTED[2], vector_of("6")]
    assert vectors(client.embeddings.create(model="vectors", input=[4, 5])) == [EXPECTED[2]]
    assert vectors(client.embeddings.create(model="vectors", input="three", dimensions=5)) == [EXPECTED[1][:5]]


@pytest.mark.parametrize("count", [1, 100, 2048])
def test_each_of_many_gets_its_own(client, count):
    assert vectors(client.embeddings.create(model="vectors", input=MANY[:count])) == [vector_of(text) for text in MANY[:count]]


@pytest.mark.parametrize("given", [[], [*MANY, "one more"], ["one", ""], [[]]], ids=["none", "too many", "an empty one", "no tokens"])
def test_python_is_refused_by_the_field(client, given):
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="vectors", input=given)
    assert refused.value.param.startswith("input")


def test_chats_are_refused_where_there_are_vectors(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="vectors", messages=[{"role": "user", "content": "hello"}])
    assert refused.value.code == "unsupported_task"


@pytest.mark.parametrize(("script", "package"), [("openai-embeddings", "openai"), ("cohere", "cohere-ai")])
def test_node(encoding, tmp_path, script, package):
    found = node_modules(package)
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "node_modules").symlink_to(found)
    (directory / "main.mjs").write_text((Path(__file__).parent / "node" / f"{script}.mjs").read_text())
    assert "all right" in run([program("node"), "main.mjs", encoding.url, GIVEN], directory)


# ---- what stands on them, and others ----


@pytest.mark.parametrize("script", SCRIPTS)
def test_libraries_for_python(encoding, tmp_path, script):
    python = python_with(SCRIPTS[script])
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "main.py").write_text((Path(__file__).parent / "python" / f"{script}.py").read_text())
    assert "all right" in run([python, "main.py", encoding.url, GIVEN], directory)


def test_curl(encoding, tmp_path):
    directory = tmp_path / "project"
    directory.mkdir()
    body = json.dumps({"model": "vectors", "input": "three"})
    printed = run([program("curl"), "-sS", f"{encoding.url}/v1/embeddings", "-H", "Content-Type: application/json", "-d", body], directory)
    [one] = json.loads(printed)["data"]
    assert as_float32(one["embedding"]) == EXPECTED[1]


async def test_open_webui(encoding):
    """As its source makes them: vectors without a format, of which it reads ``embedding``; scores of all documents, by their index."""
    status, answer = await posted(f"{encoding.url}/v1/embeddings", {"input": ["one two", "three"], "model": "vectors"})
    assert (status, [as_float32(one["embedding"]) for one in answer["data"]]) == (200, EXPECTED[:2])
    documents = ["grey", "red green", "red"]
    asked = {"model": "scores", "query": "red green", "documents": documents, "top_n": len(documents)}
    status, answer = await posted(f"{encoding.url}/v1/rerank", asked)
    scores = [one["relevance_score"] for one in sorted(answer["results"], key=lambda one: one["index"])]
    assert (status, scores) == (200, [score_of("red green", document) for document in documents])


@pytest.mark.parametrize("client_name", SENT)
async def test_what_clients_were_seen_to_send_is_answered(encoding, client_name):
    sent = SENT[client_name]
    status, answer = await posted(f"{encoding.url}{sent.path}", sent.body | {"model": PATHS[sent.path]})
    assert status == 200, answer


def test_recorded_clients_are_there():
    assert len(SENT) == 29
