"""Every architecture of mlx-lm that can be built small, through the runner it gets: in chunks, beside others, and after a hit.

What each one gets is in ``docs/architectures.md``; renew it with ``python -m tests.worker.architecture_table > docs/architectures.md``.
"""

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlxd.worker.runtime.choose import choose_runner
from tests.support.architectures import ARCHITECTURES
from tests.support.tiny_model import EOS, VOCAB
from tests.support.wire_requests import resolved
from tests.worker.architecture_table import DOCUMENT, documented, shown, table
from tests.worker.runner_rig import RunnerRig, architecture, plain, words
from tests.worker.vision.sight_table import documented_sights
from tests.worker.worker_link import load_message

BLOCK = 8
TOKENS = 4  # of each answer: it goes on in another block
LIMITS = {"mode": "continuous", "cache_kind": "paged", "block_size": BLOCK, "step_tokens": 24, "max_sequences": 8}
RUNNERS = documented(DOCUMENT.read_text(encoding="utf-8"))
_TIE = 2e-3  # standard deviations of the logits: two tokens closer than this are equally likely


def choose(name):
    loaded = architecture(name)
    order = load_message("org/tiny", **LIMITS)
    return loaded, choose_runner(order, resolved(order.limits), loaded)


def is_greedy(loaded, prompt, tokens):
    """Whether the plain model, fed all of it at once, finds each token the most likely one, or as likely."""
    logits = loaded.model(mx.array([*prompt, *tokens[:-1]])[None], cache=make_prompt_cache(loaded.model))[0, len(prompt) - 1 :]
    logits = logits[:, :EOS].astype(mx.float32)  # without the end token, the last of the vocabulary, which the rig's bias excludes
    assert EOS == VOCAB - 1
    chosen = mx.take_along_axis(logits, mx.array(tokens)[:, None], axis=-1)[:, 0]
    return bool(mx.all(logits.max(axis=-1) - chosen <= _TIE * mx.std(logits, axis=-1)))


def is_right(loaded, prompt, tokens):
    """As mlx-lm generates alone, or but for a tie."""
    return is_greedy(loaded, prompt, tokens) or tokens == plain(loaded, prompt, TOKENS)


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
    long = words(1, 45)
    prompts = {"long": long, "longer": [*long[:32], *words(2, 13)], "short": words(3, 5), "again": long}
    for step, prompt in enumerate(("long", "short", "longer")):
        rig.add(prompt, prompts[prompt], max_tokens=TOKENS)
        for _ in range(step + 1):
            rig.step()
    rig.run()
    rig.ask(long, "again", max_tokens=TOKENS)
    assert rig.started["again"].cached_tokens == (40 if choice.name == "paged" else len(long) - 1)
    assert {name: is_right(loaded, prompt, rig.tokens[name]) for name, prompt in prompts.items()} == dict.fromkeys(prompts, True)


def test_the_document_is_current_and_most_architectures_are_paged():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == table(RUNNERS, documented_sights(text))
    known = [name for name, architecture in ARCHITECTURES.items() if architecture.in_mlx_lm_test]
    assert sum(RUNNERS[name][0] == "paged" for name in known) >= 40
    assert RUNNERS.keys() == ARCHITECTURES.keys()
