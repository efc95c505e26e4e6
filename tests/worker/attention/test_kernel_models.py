"""Models whose rows attend by the kernel, on lanes here, have the plain model's logits; a wrong kernel is found out by them."""

import dataclasses

import pytest

from mlxd.types import AttentionWay
from mlxd.worker.runtime.paged.attention import ways
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import DecodeKernel
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.build import prove_model, proved_model
from mlxd.worker.runtime.paged.key_value_choice import choose_key_values
from mlxd.worker.runtime.paged.probe import ProbeFailedError, probe
from mlxd.worker.runtime.paged.quantized.rounded import RoundedCache
from tests.support.lanes.custom_kernel import METAL
from tests.worker import quantized_models
from tests.worker.runner_rig import architecture


def by_kernel(monkeypatch, name, language):
    """Returns a model that was proved, and attends by the kernel from now on."""
    monkeypatch.setattr(ways, "decode_kernel", lambda block_size: DecodeKernel(language, block_size))
    loaded = architecture(name)
    model = proved_model(loaded, 16)
    assert not model.ways.missing
    model.ways.regions = Regions(usual=AttentionWay.KERNEL)
    return loaded, model


@pytest.mark.parametrize("name", ["llama", "gpt_oss", "falcon_h1"])
def test_its_logits_are_the_plain_model_s(monkeypatch, name):
    """With sinks and windows, and beside recurrent states."""
    probe(*by_kernel(monkeypatch, name, METAL))


@pytest.mark.usefixtures("any_loss")
@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_its_logits_over_8_bits_are_those_over_the_same_values_as_floats(monkeypatch, name):
    monkeypatch.setattr(ways, "decode_kernel", lambda block_size: DecodeKernel(METAL, block_size))
    loaded = quantized_models.model(name)
    paged = choose_key_values(loaded, prove_model(loaded, 16), "int8").proved.model
    paged.ways.regions = Regions(usual=AttentionWay.KERNEL)
    probe(loaded, paged, RoundedCache())


def test_a_flipped_sign_is_found_out(monkeypatch):
    wrong = dataclasses.replace(METAL, header=METAL.header.replace("sums[i] += sums", "sums[i] -= sums"))
    with pytest.raises(ProbeFailedError, match="differ"):
        probe(*by_kernel(monkeypatch, "llama", wrong))


def test_a_device_without_one_says_why():
    assert proved_model(architecture("llama"), 16).ways.missing == {AttentionWay.KERNEL: "needs Metal or CUDA"}
