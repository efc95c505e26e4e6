"""Where a request's work is done: the engine thread has a step to compute."""

import threading
from collections import Counter

import pytest
from msgspec.structs import replace

from mlxd.errors import InvalidRequestError
from mlxd.types import Limits, SamplingParams, SpeculationKind, Stopping
from mlxd.wire.jobs import Generate
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompt_bounds import PromptBounds
from mlxd.wire.prompts import TokenPrompt
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.kv.block_chain import BlockChain, BlockKey
from mlxd.worker.request_encoder import RequestEncoder
from tests.support.tiny_model import VOCAB
from tests.worker.worker_link import MODES, generate, in_thread

BLOCK = 4


class Prompts:
    """As a ``PromptEncoder`` for token ids."""

    vocab_size = 10
    bounds = PromptBounds(context_length=6, most_characters=12)

    def __init__(self):
        self.encoded = 0

    def encode(self, prompt, max_tokens, seen):
        self.encoded += 1
        if not prompt.token_ids:
            raise InvalidRequestError("the prompt has no tokens", param="prompt")
        return EncodedPrompt(prompt.token_ids, max_tokens, CacheRoot(model="tiny"))

    @staticmethod
    def tokenize(prompt):
        assert len(prompt.text) <= 12
        return [ord(letter) - 96 for letter in prompt.text]


def request(*, stopping=None, output=None, **sampling):
    return Generate(
        id="a",
        prompt=TokenPrompt(token_ids=list(range(9))),
        sampling=SamplingParams(**sampling),
        max_tokens=5,
        stopping=stopping or Stopping(),
        output=output or OutputSpec(),
    )


def test_a_request_comes_with_the_names_of_its_blocks():
    made = RequestEncoder(Prompts(), BLOCK).encode(request(), arrived=7.0)
    assert (made.tokens, made.max_tokens, made.arrived) == (list(range(9)), 5, 7.0)
    assert made.chain.digests == BlockChain.of(made.prompt, BLOCK).digests
    assert len(made.chain) == 2


def test_without_a_paged_cache_there_are_no_blocks_to_name():
    assert RequestEncoder(Prompts(), None).encode(request(), arrived=0.0).chain is None


@pytest.mark.parametrize(
    ("looks_up", "kind", "is_indexed"),
    [
        (True, SpeculationKind.LOOKUP, True),
        (True, SpeculationKind.AUTO, True),
        (True, SpeculationKind.DRAFT, False),
        (True, SpeculationKind.OFF, False),
        (False, SpeculationKind.AUTO, False),
    ],
)
def test_what_answers_may_repeat_is_indexed_where_it_is_looked_up(looks_up, kind, is_indexed):
    encoder = RequestEncoder(Prompts(), BLOCK, looks_up=looks_up)
    encoder.reconfigure(Limits(speculation=kind))
    made = encoder.encode(request(output=OutputSpec(predicted="abc")), arrived=0.0)
    assert (made.looked_up is not None, made.predicted is not None) == (is_indexed, is_indexed)
    if is_indexed:
        assert (made.looked_up.tokens, made.predicted.tokens) == (made.tokens, [1, 2, 3])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("abcdefgh", [1, 2, 3, 4, 5, 6]), ("abcabc" * 9, [1, 2, 3, 1, 2, 3]), ("abzc", [1, 2])],
    ids=["longer than the context", "longer than any text in it", "with a token that the model does not know"],
)
def test_a_prediction_is_taken_as_far_as_an_answer_could_have_it(text, tokens):
    encoder = RequestEncoder(Prompts(), BLOCK, looks_up=True)
    encoder.reconfigure(Limits())
    assert encoder.encode(request(output=OutputSpec(predicted=text)), arrived=0.0).predicted.tokens == tokens


def test_a_prediction_of_nothing_that_the_model_knows_is_none():
    encoder = RequestEncoder(Prompts(), BLOCK, looks_up=True)
    encoder.reconfigure(Limits())
    assert encoder.encode(request(output=OutputSpec(predicted="zzz")), arrived=0.0).predicted is None


def test_several_answers_to_a_prompt_look_up_the_same_index():
    encoder = RequestEncoder(Prompts(), BLOCK, looks_up=True)
    encoder.reconfigure(Limits(speculation=SpeculationKind.AUTO))
    first, second = (encoder.encode(replace(request(), id=name, behind=behind), arrived=0.0) for name, behind in (("a", 1), ("b", 0)))
    assert first.looked_up is second.looked_up


@pytest.mark.parametrize("token", [-1, 10])
def test_a_bias_on_no_token_is_refused(token):
    with pytest.raises(InvalidRequestError, match="logit_bias"):
        RequestEncoder(Prompts(), BLOCK).encode(request(logit_bias={token: 1.0}), arrived=0.0)


@pytest.mark.parametrize("token", [-1, 10])
def test_an_end_that_is_no_token_is_refused(token):
    with pytest.raises(InvalidRequestError, match="stop_token_ids") as refused:
        RequestEncoder(Prompts(), BLOCK).encode(request(stopping=Stopping(token_ids=[3, token])), arrived=0.0)
    assert refused.value.param == "stop_token_ids"


@pytest.mark.parametrize(
    ("output", "wanted", "of_prompt"),
    [
        (OutputSpec(), None, False),
        (OutputSpec(echo=True), None, False),
        (OutputSpec(logprobs=0), 0, False),
        (OutputSpec(echo=True, logprobs=3), 3, True),
    ],
)
def test_log_probabilities_of_a_prompt_come_with_an_echo_only(output, wanted, of_prompt):
    made = RequestEncoder(Prompts(), BLOCK).encode(request(output=output), arrived=0.0)
    assert (made.logprobs, made.prompt_logprobs) == (wanted, of_prompt)


async def test_the_engine_thread_never_hashes_a_prompt(tiny, monkeypatch):
    """A long prompt, the same again, and one that waits for both; of answers the engine names the blocks itself."""
    hashed = Counter()
    digest = BlockKey.digest

    def count(key):
        hashed[threading.current_thread().name.split("_")[0]] += 1
        return digest(key)

    monkeypatch.setattr(BlockKey, "digest", count)
    prompt = [3 + at * 7 % (VOCAB - 3) for at in range(100)]
    async with in_thread() as link:
        await link.load(tiny, **(MODES["paged"] | {"block_size": BLOCK}))
        link.send(*(generate(name, prompt, max_tokens=1) for name in "ab"), generate("c", [*prompt, 5], max_tokens=1))
        for name in "abc":
            await link.ended(name)
    assert hashed == {"tokenize": 3 * (len(prompt) // BLOCK)}


def test_jobs_of_one_prompt_have_it_encoded_once():
    prompts = Prompts()
    encoder = RequestEncoder(prompts, BLOCK)
    made = [encoder.encode(replace(request(), id=str(behind), parent="all", behind=behind), 0.0) for behind in (2, 1, 0)]
    assert prompts.encoded == 1
    assert [one.parent for one in made] == ["all"] * 3
    assert made[0].prompt is made[2].prompt
    assert made[0].chain is not made[2].chain, "which each goes on with its own answer"
    encoder.encode(request(), 0.0)
    assert prompts.encoded == 2, "nothing is kept for another request"


def test_a_prompt_that_cannot_be_encoded_is_refused_for_each_of_its_jobs():
    prompts = Prompts()
    encoder = RequestEncoder(prompts, BLOCK)
    for behind in (1, 0):
        with pytest.raises(InvalidRequestError, match="no tokens"):
            encoder.encode(replace(request(), prompt=TokenPrompt(token_ids=[]), behind=behind), 0.0)
    assert prompts.encoded == 1


def test_jobs_of_several_prompts_have_theirs():
    encoder = RequestEncoder(Prompts(), BLOCK)
    made = [
        encoder.encode(replace(request(), prompt=TokenPrompt(token_ids=[ids]), behind=behind), 0.0)
        for ids, behind in ((1, 2), (2, 1), (1, 0))
    ]
    assert [one.tokens for one in made] == [[1], [2], [1]]
