"""Several answers to one request, through the OpenAI SDK and the real model."""

import math

import openai
import pytest

from tests.e2e.client import post

pytestmark = pytest.mark.real_model

ASKED = {"model": "smollm2", "messages": [{"role": "user", "content": "Name a river in Egypt."}], "max_tokens": 6}


@pytest.fixture(scope="module")
def client(continuous):
    return openai.OpenAI(base_url=f"{continuous.url}/v1", api_key="none", max_retries=0)


def texts(answer):
    return [choice.message.content for choice in answer.choices]


def test_three_greedy_answers_are_one_three_times_and_the_prompt_counts_once(client):
    alone = client.chat.completions.create(**ASKED, temperature=0)
    three = client.chat.completions.create(**ASKED, temperature=0, n=3)
    assert texts(three) == texts(alone) * 3
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert three.usage.prompt_tokens == alone.usage.prompt_tokens
    assert three.usage.completion_tokens == 3 * alone.usage.completion_tokens


def test_answers_of_a_seed_differ_and_are_the_same_again_whole_and_streamed(client):
    asked = ASKED | {"temperature": 1.0, "seed": 7, "n": 3}
    whole = texts(client.chat.completions.create(**asked))
    assert len(set(whole)) == 3
    assert texts(client.chat.completions.create(**asked | {"n": 1})) == whole[:1]
    streamed, ends = [""] * 3, [[] for _ in range(3)]
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
            ends[choice.index] += [choice.finish_reason] * (choice.finish_reason is not None)
    assert streamed == whole
    assert [len(reasons) for reasons in ends] == [1, 1, 1]


def test_a_prompt_of_several_answers_is_computed_once(continuous, client):
    def computed():
        return continuous.metrics()['mlxd_step_tokens_sum{model="smollm2"}']

    before = computed()
    messages = [{"role": "user", "content": "Tell me of rivers, " + "of lakes and of seas, " * 40 + "briefly."}]
    used = client.chat.completions.create(model="smollm2", messages=messages, max_tokens=1, temperature=1, n=8).usage
    assert used.prompt_tokens > 200
    assert used.prompt_tokens_details.cached_tokens < 32  # the template's own beginning
    block = 16
    assert computed() - before <= used.prompt_tokens + 8 * block + used.completion_tokens


def test_a_list_of_prompts_with_log_probabilities(client):
    prompts = ["The capital of France is", "Once upon a time"]
    asked = {"model": "smollm2", "max_tokens": 4, "temperature": 0, "logprobs": 2}
    answer = client.completions.create(**asked, prompt=prompts)
    assert [choice.index for choice in answer.choices] == [0, 1]
    for prompt, choice in zip(prompts, answer.choices, strict=True):
        alone = client.completions.create(**asked, prompt=prompt).choices[0]
        assert choice.text == alone.text
        assert choice.logprobs.token_logprobs == pytest.approx(alone.logprobs.token_logprobs, abs=1e-3)
        assert "".join(choice.logprobs.tokens) == choice.text
        assert all(math.isfinite(value) for top in choice.logprobs.top_logprobs for value in top.values())
        places = zip(choice.logprobs.text_offset, choice.logprobs.tokens, strict=True)
        assert all(choice.text[at:].startswith(token) for at, token in places)


def test_a_harness_that_scores_prompts_gets_the_same_figures_on_a_hit(continuous):
    """As lm-eval asks: token ids, echo, one token more than is looked at."""
    tokens = [504, 3575, 282, 4649, 314, 7042] * 4  # more than a block
    asked = {"model": "smollm2", "prompt": [tokens], "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    found = []
    for _ in range(2):
        status, _, answer = post(continuous, "/v1/completions", asked)
        assert status == 200, answer
        logprobs = answer["choices"][0]["logprobs"]
        assert len(logprobs["tokens"]) == len(tokens) + 1
        assert logprobs["token_logprobs"][0] is None
        assert all(logprob <= 0 for logprob in logprobs["token_logprobs"][1:])
        found.append(logprobs["token_logprobs"][1:-1])
    assert found[1] == pytest.approx(found[0], abs=1e-3)
    status, _, answer = post(continuous, "/v1/completions", asked | {"max_tokens": 0})
    assert answer["choices"][0]["logprobs"]["token_logprobs"][1:] == pytest.approx(found[0], abs=1e-3)
    assert answer["usage"]["completion_tokens"] == 0


def test_tokens_of_a_conversation_are_those_it_is_charged_for(continuous, client):
    status, _, told = post(continuous, "/tokenize", {name: ASKED[name] for name in ("model", "messages")})
    assert status == 200
    assert told["count"] == client.chat.completions.create(**ASKED | {"max_tokens": 1}).usage.prompt_tokens
    status, _, text = post(continuous, "/detokenize", {"model": "smollm2", "tokens": told["tokens"]})
    assert "Name a river in Egypt." in text["prompt"]
