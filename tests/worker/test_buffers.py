"""What MLX keeps beside keys and values: buffers have a limit, and nothing grows with the tokens of an answer."""

import re

import mlx.core as mx
import pytest

from mlxd.types import ResolvedLimits, SamplingParams
from mlxd.wire.messages import NeedsMemory
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.runtime import device as seam
from mlxd.worker.runtime.sampling.mlx_lm_processor import MlxLmProcessor
from mlxd.worker.runtime.sampling.processors import processors_of
from mlxd.worker.runtime.sampling.row_sampler import RowSampler
from mlxd.worker.runtime.start import start_model
from tests.support.tiny_model import make_tiny_model
from tests.worker.runner_rig import PagedRig, architecture, words
from tests.worker.worker_link import load_message

VOCAB = 64
ALL_OF_THEM = [
    {"repetition_penalty": 1.2},
    {"presence_penalty": 0.5},
    {"frequency_penalty": 0.5},
    {"logit_bias": {3: 1.0}},
    {"repetition_penalty": 1.2, "presence_penalty": 0.5, "logit_bias": {3: 1.0}},
]


def operations(tmp_path, *arrays):
    """Of the graph that is not evaluated yet."""
    path = tmp_path / "graph.dot"
    mx.export_to_dot(str(path), *arrays)
    return len(re.findall(r"label", path.read_text()))


def request(penalties):
    return EngineRequest("a", EncodedPrompt([1, 2], 99, CacheRoot(model="m")), SamplingParams(temperature=0, **penalties))


@pytest.mark.parametrize("penalties", ALL_OF_THEM, ids="+".join)
def test_penalties_leave_no_graph_that_grows(tmp_path, penalties):
    sampler = RowSampler(VOCAB)
    sampler.open(request(penalties))
    processor, _ = sampler._processors
    sizes = []
    for position in range(60):
        draws = sampler.sample(mx.random.normal((1, VOCAB), key=mx.random.key(position)), [SampledRow("a")])
        mx.eval(draws.tensors())
        sizes.append(operations(tmp_path, *processor.tensors()))
    assert sizes[-1] == sizes[5]


@pytest.mark.parametrize("penalties", ALL_OF_THEM, ids="+".join)
def test_nor_do_they_in_mlx_lm_s_batches(tmp_path, penalties):
    (processor,) = made = processors_of(request(penalties), VOCAB, ())
    process, tokens, sizes = MlxLmProcessor("a", made), [1, 2], []
    for position in range(60):
        logits = process(mx.array(tokens), mx.random.normal((1, VOCAB), key=mx.random.key(position)))
        mx.eval(logits)
        tokens.append(int(mx.argmax(logits).item()))
        sizes.append(operations(tmp_path, *processor.tensors()))
    assert sizes[-1] == sizes[5]
    assert process.error is None


def test_buffers_are_limited_to_what_was_asked_for(tmp_path, monkeypatch):
    asked, limits = [], []
    monkeypatch.setattr(mx, "set_cache_limit", limits.append)
    order = load_message(make_tiny_model(tmp_path), cache_bytes=2**20)

    def permit(needs):
        asked.append(needs)
        return needs.cache

    start_model(order, ResolvedLimits.of(order.limits, 2**20), lambda *_: None, permit)
    (needs,) = asked
    assert isinstance(needs, NeedsMemory)
    assert limits == [needs.transients]
    assert needs.transients > 0


@pytest.mark.parametrize("ahead", [False, True])
def test_buffers_are_given_back_once_long_prompts_are_computed(monkeypatch, ahead):
    rig = PagedRig(architecture("llama"), ahead=ahead, arena_blocks=1024, spare=4 * 1024, step_tokens=256)  # what grows is given back, too
    cleared = []
    monkeypatch.setattr(mx, "clear_cache", lambda: cleared.append(len(rig.tokens.get("long", ()))))
    rig.add("short", words(1, 200), max_tokens=6)
    rig.run()
    assert cleared == []
    rig.add("long", words(2, 2100), max_tokens=6)
    rig.run()
    assert len(cleared) == 1
    assert cleared[0] <= 2


@pytest.mark.parametrize(
    ("device", "info", "told"),
    [
        ("gpu", {"max_recommended_working_set_size": 2**34}, 2**34),
        ("gpu", {"max_recommended_working_set_size": 0}, None),
        ("gpu", {"device_name": "one that does not say"}, None),
        ("cpu", {"max_recommended_working_set_size": 2**34}, None),
    ],
)
def test_what_a_gpu_holds_is_told_where_mlx_knows_it(monkeypatch, device, info, told):
    monkeypatch.setattr(seam.mx, "device_info", lambda: info)
    assert seam.working_set(device) == told
