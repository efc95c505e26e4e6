"""Every family makes of texts what sentence-transformers makes of them, alone and beside others."""

import pytest

from mlxd.types import Task
from tests.encoding.texts import INSTRUCTION, PAIRS, TEXTS
from tests.unit.worker_facts.encoding.copies import copied, edit
from tests.worker.encoding.rig import CLOSE, DATA, inputs_of, load, pairs_of, references, worst

EMBEDDING = ("bert", "bert_modes", "xlm_roberta", "distilbert", "modernbert", "mpnet", "nomic_bert", "llama", "qwen3", "gemma")
RERANKING = (
    "bert_reranker",
    "mpnet_reranker",
    "xlm_roberta_reranker",
    "distilbert_reranker",
    "modernbert_reranker",
    "layers_reranker",
    "qwen3_classifier",
)
ANSWERING = "qwen3_reranker"  # whose files are those of a model that generates: its operator says what it is for


@pytest.fixture(scope="module", params=EMBEDDING)
def embedding(request):
    return load(DATA / request.param), references(DATA / request.param)


@pytest.fixture(scope="module", params=[*RERANKING, ANSWERING])
def reranking(request):
    return load(DATA / request.param, Task.RERANK), references(DATA / request.param)


def test_vectors_are_those_of_the_reference_in_one_batch(embedding):
    encoder, expected = embedding
    assert worst(encoder.vectors(inputs_of(encoder, TEXTS)), expected["vectors"]) < CLOSE


def test_vectors_are_those_of_the_reference_alone(embedding):
    encoder, expected = embedding
    for one, vector in zip(inputs_of(encoder, TEXTS), expected["vectors"], strict=True):
        assert worst(encoder.vectors([one]), [vector]) < CLOSE


def test_texts_behind_a_prompt_of_the_model_have_the_vectors_of_the_reference(embedding):
    encoder, expected = embedding
    if "query" in expected:
        assert worst(encoder.vectors(inputs_of(encoder, TEXTS, prompt_name="query")), expected["query"]) < CLOSE
    else:
        assert encoder.facts.prompts == {}


def test_a_prompt_goes_before_texts_where_the_files_name_it(tmp_path):
    directory = edit(copied("bert_modes", tmp_path), "config_sentence_transformers.json", default_prompt_name="query")
    encoder, expected = load(directory), references(DATA / "bert_modes")
    assert worst(encoder.vectors(inputs_of(encoder, TEXTS)), expected["query"]) < CLOSE
    assert worst(encoder.vectors(inputs_of(encoder, TEXTS, prompt_name="")), expected["vectors"]) < CLOSE


def test_scores_are_those_of_the_reference_in_one_batch(reranking):
    encoder, expected = reranking
    assert worst(encoder.scores(pairs_of(encoder, PAIRS)), expected["scores"]) < CLOSE


def test_scores_are_those_of_the_reference_alone(reranking):
    encoder, expected = reranking
    for one, score in zip(pairs_of(encoder, PAIRS), expected["scores"], strict=True):
        assert worst(encoder.scores([one]), [score]) < CLOSE


def test_scores_by_an_instruction_are_those_of_the_reference(reranking):
    encoder, expected = reranking
    if "instructed" in expected:
        assert worst(encoder.scores(pairs_of(encoder, PAIRS, instruction=INSTRUCTION)), expected["instructed"]) < CLOSE
        assert worst(encoder.scores(pairs_of(encoder, PAIRS)), expected["instructed"]) > CLOSE


def test_references_differ_from_text_to_text():
    """Else a model of weights that are too small would be compared with one number."""
    for name in EMBEDDING:
        vectors = references(DATA / name)["vectors"]
        assert min(worst(one, other) for place, one in enumerate(vectors) for other in vectors[:place]) > 100 * CLOSE
    for name in (*RERANKING, ANSWERING):
        scores = references(DATA / name)["scores"]
        assert max(scores) - min(scores) > 100 * CLOSE
