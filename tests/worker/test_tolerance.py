"""When logits count as the plain model's: what is usual in its type, or what it makes itself of how its prompt is cut."""

from types import SimpleNamespace

import mlx.core as mx
import pytest

from mlxd.worker.runtime.proof import ROUNDED, Tolerance


class Cut:
    """A model whose logits depend, by ``noise`` standard deviations, on whether its prompt came in one piece."""

    layers = ()

    def __init__(self, noise):
        self.noise = noise
        self.prompts = 0

    def make_cache(self):
        self.prompts += 1
        return self.prompts

    def __call__(self, tokens, cache):
        logits = mx.array([1.0, -1.0] * 50)
        is_cut = tokens.shape[1] < 20
        return (logits + self.noise * is_cut)[None, None]


def loaded(noise, dtype="float32"):
    return SimpleNamespace(model=Cut(noise), dtype=dtype, vocab_size=100)


@pytest.mark.parametrize(
    ("noise", "dtype", "found", "allowed"),
    [
        (0.0, "float32", 0.001, True),
        (0.0, "float32", 0.003, False),
        (0.01, "float32", 0.07, True),  # eight times the noise
        (0.01, "float32", 0.09, False),
        (1.0, "float32", ROUNDED, True),
        (1.0, "float32", 1.01 * ROUNDED, False),  # however noisy
        (0.0, "bfloat16", ROUNDED, True),
        (0.0, "float32", float("inf"), False),
        (0.0, "float32", float("nan"), False),
    ],
)
def test_what_is_rounding(noise, dtype, found, allowed):
    assert Tolerance(loaded(noise, dtype)).allows(found) is allowed


def test_at_least_so_much_is_rounding_where_that_is_known():
    assert Tolerance(loaded(0.0), least=0.1).allows(0.1)
    assert not Tolerance(loaded(0.0), least=0.1).allows(0.11)


def test_the_plain_model_is_asked_where_its_answer_matters():
    one = loaded(0.01)
    tolerance = Tolerance(one)
    assert tolerance.allows(0.001)
    assert not tolerance.allows(0.5)
    assert one.model.prompts == 0
    assert tolerance.allows(0.05)
    assert not tolerance.allows(0.2)
    assert one.model.prompts == 2
