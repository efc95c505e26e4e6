import pytest

from tests.support.tiny_encoder import make_tiny_embedder, make_tiny_reranker
from tests.worker.encoding.encoding_link import Encoding
from tests.worker.worker_link import in_thread


@pytest.fixture(scope="package")
def embedder(tmp_path_factory):
    return make_tiny_embedder(tmp_path_factory.mktemp("embedder"))


@pytest.fixture(scope="package")
def reranker(tmp_path_factory):
    return make_tiny_reranker(tmp_path_factory.mktemp("reranker"))


@pytest.fixture
async def embedding(embedder):
    async with in_thread() as link:
        yield await Encoding.begin(link, embedder)


@pytest.fixture
async def reranking(reranker):
    async with in_thread() as link:
        yield await Encoding.begin(link, reranker)
