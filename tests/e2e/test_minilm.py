"""Real weights behind HTTP: what OpenAI's SDK gets of all-MiniLM-L6-v2 is what sentence-transformers makes with it."""

from array import array

import openai
import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.support.minilm import MINILM, MINILM_TEXTS, minilm_needed, minilm_vectors

pytestmark = minilm_needed

CLOSE = 1e-5
KNOWN = [(text, vector) for text, vector in zip(MINILM_TEXTS, minilm_vectors(), strict=True) if text]  # an empty one is refused
SHORT = [one for one in KNOWN if len(one[0]) <= 80]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    models = f'[models.minilm]\nsource = "{MINILM}"\naliases = ["text-embedding-*"]\n'
    with DaemonProcess(tmp_path_factory.mktemp("minilm"), models) as daemon:
        daemon.wait_ready()
        with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none", max_retries=0) as made:
            yield made


def worst(client, known, **fields):
    """How far the worst number is from the reference."""
    answer = client.embeddings.create(model="text-embedding-3-small", input=[text for text, _ in known], **fields)
    assert len(answer.data) == len(known)
    pairs = zip(answer.data, known, strict=True)
    return max(abs(a - b) for one, (_, vector) in pairs for a, b in zip(array("f", one.embedding), vector, strict=True))


def test_one(client):
    assert worst(client, KNOWN[:1]) < CLOSE


@pytest.mark.parametrize("fields", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
def test_all_lengths_at_once(client, fields):
    assert worst(client, KNOWN, **fields) < CLOSE


def test_a_hundred(client):
    assert worst(client, [SHORT[place * 7 % len(SHORT)] for place in range(100)]) < CLOSE


def test_the_text_that_is_too_long_is_named(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="minilm", input=["hello", "word " * 300])
    assert (refused.value.param, refused.value.code) == ("input[1]", "context_length_exceeded")
    cut = client.embeddings.create(model="minilm", input=["hello", "word " * 300], extra_body={"truncate": True})
    assert [len(one.embedding) for one in cut.data] == [384, 384]


def test_tokens_that_the_model_has_not_are_refused(client):
    """As LangChain sends them of OpenAI's vocabulary, which is three times as large."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="minilm", input=[[101, 7592, 102], [100_000]])
    assert refused.value.param == "input[1]"
