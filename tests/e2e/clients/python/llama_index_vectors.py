"""LlamaIndex's vectors by OpenAI's class, and by that for servers that are like OpenAI's."""

import json
import sys

from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.openai_like import OpenAILikeEmbedding

base, expected = sys.argv[1], json.loads(sys.argv[2])
for kind in (OpenAIEmbedding, OpenAILikeEmbedding):
    model = kind(model_name="vectors", api_base=f"{base}/v1", api_key="none", max_retries=0, embed_batch_size=16)
    assert model.get_text_embedding_batch(["one two", "three"]) == expected[:2]
    assert model.get_query_embedding("three") == expected[1]
short = OpenAILikeEmbedding(model_name="vectors", api_base=f"{base}/v1", api_key="none", max_retries=0, dimensions=5)
assert short.get_text_embedding("three") == expected[1][:5]
print("all right")  # noqa: T201
