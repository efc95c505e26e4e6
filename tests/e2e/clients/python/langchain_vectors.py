"""LangChain's vectors, as they are asked for where a model is not OpenAI's: texts as they are, for its tokens are of another vocabulary."""

import json
import sys

from langchain_openai import OpenAIEmbeddings

base, expected = sys.argv[1], json.loads(sys.argv[2])
settings = {"model": "vectors", "base_url": f"{base}/v1", "api_key": "none", "max_retries": 0, "check_embedding_ctx_length": False}
model = OpenAIEmbeddings(**settings)
assert model.embed_documents(["one two", "three"]) == expected[:2]
assert model.embed_query("three") == expected[1]
assert OpenAIEmbeddings(**settings, dimensions=5).embed_query("three") == expected[1][:5]
many = [f"{number} of many" for number in range(70)]
assert OpenAIEmbeddings(**settings, chunk_size=16).embed_documents(many) == model.embed_documents(many)
print("all right")  # noqa: T201
