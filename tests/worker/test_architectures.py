"""Every architecture of mlx-lm that can be built small, through the runner it gets: in chunks, beside others, and after a hit.

What each one gets is in ``docs/architectures.md``; renew it with ``python -m tests.worker.architecture_table > docs/architectures.md``.
"""

import mlx.core as mx
import pytest

from mlxd.worker.runtime.choose import choose_runner
from mlxd.worker.runtime.paged.attention.trial import Trial
from tests.support.architectures import ARCHITECTURES
from tests.support.tiny_model import EOS, VOCAB
from tests.support.wire_requests import resolved
from tests.worker.architecture_table import DOCUMENT, documented, shown, table
from tests.worker.runner_rig import RunnerRig, architecture, next_logits, plain, words
from tests.worker.vision.sight_table import documented_sights
from tests.worker.worker_link import load_message

BLOCK = 8
TOKENS = 3  # of each answer: the long one goes on in another block
LIMITS = {"mode": "continuous", "cache_kind": "paged", "block_size": BLOCK, "step_tokens": 24, "max_sequences": 8}
RUNNERS = documented(DOCUMENT.read_text(encoding="utf-8"))
_TIE = 2e-3  # standard deviations of the logits: two tokens closer than this are equally likely
_ROUNDING = 2e-3  # of a log-probability: it was up to 4e-5, and 0.02 or more where keys are one slot off


@pytest.fixture(scope="module", autouse=True)
def _tried_once():
    """A way to attend is tried once with each shape of layers: most of these models have the same."""
    tried, difference = {}, Trial.difference

    def once(trial, attention, reference):
        key = trial, type(attention), type(reference)
        if key not in tried:
            tried[key] = difference(trial, attention, reference)
        return tried[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trial, "difference", once)
        yield


def choose(name):
    loaded = architecture(name)
    order = load_message("org/tiny", **LIMITS)
    return loaded, choose_runner(order, resolved(order.limits), loaded)


def is_greedy(logits, sampled):
    """Whether each token is the most likely one by the logits for it, or as likely, and as probable as was said."""
    logits = logits.astype(mx.float32)
    chosen = mx.take_along_axis(logits, mx.array([token.id for token in sampled])[:, None], axis=-1)[:, 0]
    others = logits[:, :EOS]  # without the end token, the last of the vocabulary, which the rig's bias excludes
    assert EOS == VOCAB - 1
    likeliest = mx.all(others.max(axis=-1) - chosen <= _TIE * mx.std(others, axis=-1))
    said = mx.array([token.logprob for token in sampled])
    return bool(likeliest & mx.all(mx.abs(chosen - mx.logsumexp(logits, axis=-1) - said) < _ROUNDING))


def greedy(loaded, prompts, rig):
    """The names of those that said what the plain model says, fed all of them at once."""
    rows = next_logits(loaded, prompts, rig.tokens)
    return {name for name, logits in rows.items() if is_greedy(logits, rig.sampled[name])}


def is_right(loaded, choice, name, prompt, rig):
    """Whether it said what the plain model says alone, or what mlx-lm generates, where that is how it is computed: cut otherwise, the
    logits of some models are others.
    """
    return bool(greedy(loaded, {name: prompt}, rig)) or (choice.name == "simple" and rig.tokens[name] == plain(loaded, prompt, TOKENS))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_tokens_are_those_of_the_plain_model(name):
    check(name)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", ["gemma3_text", "falcon_h1"])
def test_and_so_they_are_where_mlx_compiles_what_it_fuses(name):
    check(name)


def check(name):
    loaded, choice = choose(name)
    assert shown(choice) == RUNNERS[name]
    rig = RunnerRig(choice.runner)
    long = words(1, 47)
    prompts = {"long": long, "short": words(3, 5), "longer": [*long[:32], *words(2, 13)], "again": long}
    rig.add("long", long, max_tokens=TOKENS, asks={"logprobs": 0})
    rig.step()
    rig.add("short", prompts["short"], max_tokens=TOKENS, asks={"logprobs": 0})
    while "long" not in rig.ended:
        rig.step()
    for prompt in ("longer", "again"):
        rig.add(prompt, prompts[prompt], max_tokens=TOKENS, asks={"logprobs": 0})
    rig.run()
    assert rig.started["again"].cached_tokens == (40 if choice.name == "paged" else len(long) - 1)
    others = prompts.keys() - greedy(loaded, prompts, rig)  # some models are not right in a batch
    assert {name for name in others if not is_right(loaded, choice, name, prompts[name], rig)} == set()


def test_the_document_is_current_and_most_architectures_are_paged():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == table(RUNNERS, documented_sights(text))
    known = [name for name, architecture in ARCHITECTURES.items() if architecture.in_mlx_lm_test]
    assert sum(RUNNERS[name][0] == "paged" for name in known) >= 40
    assert RUNNERS.keys() == ARCHITECTURES.keys()
