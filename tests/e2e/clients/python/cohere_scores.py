"""Cohere's SDK against scores that are known, by both versions of its API."""

import sys

import cohere

base = sys.argv[1]
asked = {"model": "scores", "query": "red green blue", "documents": ["grey", "red green blue", "blue"]}
first = cohere.Client("none", base_url=base).rerank(**asked, top_n=2, return_documents=True)
assert [one.index for one in first.results] == [1, 2]
assert first.results[0].relevance_score == 1
assert [one.document.text for one in first.results] == ["red green blue", "blue"]
objects = cohere.Client("none", base_url=base).rerank(**asked | {"documents": [{"text": "grey"}, {"text": "red"}]})
assert [one.index for one in objects.results] == [1, 0]
second = cohere.ClientV2("none", base_url=base).rerank(**asked, max_tokens_per_doc=4096)
assert [one.index for one in second.results] == [1, 2, 0]
try:
    cohere.Client("none", base_url=base).rerank(**asked | {"documents": [{"title": "red"}]}, rank_fields=["title"])
except cohere.BadRequestError as error:
    assert "rank_fields" in str(error.body)  # noqa: PT017
else:
    raise AssertionError("rank_fields is passed over")
print("all right")  # noqa: T201
