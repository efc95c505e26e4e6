"""The check of a GPU, tried on the processor: it runs to its end, and what is wrong is told of."""

import dataclasses
import json

import mlx.core as mx
import pytest

from benchmarks.gpu import check, kernel_proof, layer_speed, sampling
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.check import Check, Extent
from benchmarks.gpu.kernel_cases import HeadShape
from benchmarks.harness.progress import Progress
from mlxd.types import AttentionWay
from mlxd.worker.runtime.paged.attention.gather import Gather
from mlxd.worker.runtime.sampling.row_sampler import RowSampler
from tests.support.lanes.custom_kernel import METAL
from tests.worker.runner_rig import architecture

LITTLE = Extent(cases=3, rounds=1, steps=2, rows=(1, 2), tokens=(20,))


@pytest.fixture
def tried(monkeypatch):
    """A check of a tiny model that is computed as on a GPU, and whose kernel runs on lanes."""
    loaded = dataclasses.replace(architecture("llama"), device="gpu")
    monkeypatch.setattr(check, "load", lambda *_, **__: loaded)
    monkeypatch.setattr(check, "fetch_model", lambda *_: None)
    monkeypatch.setattr(kernel_proof, "SHAPES", [HeadShape(mx.float16, 64, 64, 2)])
    for name, size in (("HEADS", 2), ("KV_HEADS", 1), ("DIM", 64)):
        monkeypatch.setattr(layer_speed, name, size)

    def work(language=METAL):
        done = Check("tiny", "cpu", LITTLE, lambda: language)
        done.work(Progress())
        return done

    return work


def test_without_a_gpu_it_says_so(capsys):
    assert main(["--quick"]) == 2
    assert "there is no GPU to check" in capsys.readouterr().out


def test_everything_is_found_right_and_shown(tried, monkeypatch, capsys):
    """But for what takes too much memory, which is left out."""
    monkeypatch.setattr(check.decoding, "fits", lambda token_bytes, rows, tokens: token_bytes > 0 and rows == 1)
    done = tried()
    assert done.report() == 0
    shown = capsys.readouterr().out
    for title in (
        "the kernel beside numpy",
        "one layer's attention",
        "ways to attend",
        "operations of a step",
        "decoding",
        "memory",
        "sampling",
    ):
        assert title in shown
    assert "2 rows of 20 tokens are left out" in shown
    assert {one.rows for one in done.decoded} == {1}
    found = json.loads(json.dumps(done.document(), default=str))
    assert found["wrong"] == []
    assert found["chosen"]["rows"].startswith("used: ")
    assert {one["who"] for one in found["decoded"]} >= {"rows", "gather", "BatchKVCache"}  # the suite has MLX compile nothing
    assert all(one["tokens_per_second"] > 0 for one in found["decoded"])


def test_what_is_wrong_is_named(tried, monkeypatch, capsys):
    right = Gather.decode
    monkeypatch.setattr(Gather, "decode", lambda *arguments: 0.5 * right(*arguments))
    monkeypatch.setattr(RowSampler, "sample", lambda self, logits, rows, sample=RowSampler.sample: sample(self, -logits, rows))
    header = METAL.header.replace("sums[i] += sums", "sums[i] -= sums")
    done = tried(dataclasses.replace(METAL, header=header))
    assert done.report() == 1
    wrong = "\n".join(line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG"))
    assert "the kernel for 64, 2 to a KV head, float16" in wrong
    assert f"attending by {AttentionWay.GATHER}" in wrong
    assert "greedy of 2 rows drew" in wrong
    assert "top_p 0.9 of 1 rows drew" in wrong
    assert not done.layers


def test_a_kernel_that_does_not_compile_is_told_of():
    language = dataclasses.replace(METAL, header=METAL.header + "nonsense;")
    found = kernel_proof.proof(language, HeadShape(mx.float16, 64, 64, 2), 3)
    assert not found.is_right
    assert "nonsense" in found.reason


@pytest.mark.parametrize("kind", sampling.KINDS, ids=lambda kind: kind.name)
def test_what_may_be_drawn_is_drawn(kind):
    (found,) = [one for one in sampling.measured(500, 3, 20) if one.kind == kind.name]
    assert found.wrong == 0
