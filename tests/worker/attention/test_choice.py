"""Which ways to attend a model gets: what is wrong is refused and said, what is right and clearly faster is used."""

import dataclasses
import logging

import mlx.core as mx
import pytest

from mlxd.types import AttentionState, AttentionWay
from mlxd.wire.attention_facts import AttentionFacts
from mlxd.worker.runtime.choose import choose_runner
from mlxd.worker.runtime.paged import attention_choice
from mlxd.worker.runtime.paged.attention import ways
from mlxd.worker.runtime.paged.attention.kernel.decode_kernel import DecodeKernel
from mlxd.worker.runtime.paged.attention.regions import Region, Regions
from mlxd.worker.runtime.paged.attention.timing import Timing
from mlxd.worker.runtime.paged.attention.ways import Ways
from tests.support.lanes.custom_kernel import METAL
from tests.support.wire_requests import resolved
from tests.worker.runner_rig import RunnerRig, alone, architecture, words
from tests.worker.worker_link import load_message

ROWS, GATHER, KERNEL = AttentionWay
WISHES = ["auto", "kernel"]


def choose(name, attention):
    loaded = architecture(name)
    order = load_message("org/tiny", mode="continuous", cache_kind="paged", block_size=8, attention=attention)
    choice = choose_runner(order, resolved(order.limits), loaded)
    return loaded, RunnerRig(choice.runner), choice.attention


def states(facts: AttentionFacts):
    return {one.way: one.state for one in facts.ways}


def reasons(facts: AttentionFacts):
    return {one.way: one.reason for one in facts.ways}


def serves(loaded, rig):
    """Three requests at once get what the plain model says."""
    prompts = {request: words(ord(request), 20 + 9 * number) for number, request in enumerate("abc")}
    for request, prompt in prompts.items():
        rig.add(request, prompt)
    rig.run()
    assert rig.tokens == alone(loaded, prompts, said=rig.tokens)


@pytest.fixture
def kernel(monkeypatch):
    """Gives the device a way that is called a kernel, made of gathering."""
    right, of_device = {}, Ways.of_device

    def inject(way):
        def made(block_size, *, fused):
            found = of_device(block_size, fused=fused)
            right.update(found.ways)
            return Ways(found.ways | {KERNEL: lambda *arguments: way(right[GATHER], *arguments)}, {})

        monkeypatch.setattr(Ways, "of_device", made)

    return inject


@pytest.fixture
def fast(monkeypatch):
    """What is timed is faster than rows everywhere, and a kernel most."""

    def timed(_trial, _rows, ways, _sequences):
        return Timing(1.3, {way: {Region(rows, 128): 3.0 if way is KERNEL else 2.0 for rows in (1, 2, 4, 8)} for way in ways})

    monkeypatch.setattr(attention_choice, "timed", timed)


def flipped(right, queries, layer, plan):
    """As a kernel whose header has a sign wrong."""
    return -right(queries, layer, plan)


def flipped_where_three_decode(right, queries, layer, plan):
    """Right in what is tried of one layer, and wrong in the model."""
    found = right(queries, layer, plan)
    return -found if plan.split.count == 3 else found


def leaking(right, queries, layer, plan):
    """Lets what no row sees touch everything, by a weight of 0."""
    keys, _ = layer.store.arena(plan.decode_rows.segments[0].arena)
    return right(queries, layer, plan) + 0 * keys.elements.sum()


def broken(_right, _queries, _layer, _plan):
    raise RuntimeError("error: use of undeclared identifier 'simd_sum'\n1 error generated")


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (flipped, "what it gives differs from rows by"),
        (leaking, "what it gives differs from rows by inf"),
        (broken, "does not compile or run here: error: use of undeclared identifier 'simd_sum'"),
        (flipped_where_three_decode, "its logits over the paged cache differ from the plain model's by"),
    ],
)
def test_a_way_that_is_wrong_is_refused_and_the_model_serves(kernel, caplog, wrong, reason, wish):
    kernel(wrong)
    with caplog.at_level(logging.WARNING):
        loaded, rig, facts = choose("llama", wish)
    assert states(facts)[KERNEL] is AttentionState.REFUSED
    assert reasons(facts)[KERNEL].startswith(reason)
    assert f"attention by kernel is refused: {reason}" in caplog.text
    assert states(facts)[ROWS] is AttentionState.USED
    serves(loaded, rig)


@pytest.mark.usefixtures("fast")
def test_a_kernel_with_a_sign_flipped_in_its_header_is_refused_and_the_model_serves(monkeypatch):
    wrong = dataclasses.replace(METAL, header=METAL.header.replace("sums[i] += sums", "sums[i] -= sums"))
    assert wrong != METAL
    monkeypatch.setattr(ways, "decode_kernel", lambda block_size: DecodeKernel(wrong, block_size))
    loaded, rig, facts = choose("llama", "auto")
    assert states(facts) == {ROWS: AttentionState.USED, GATHER: AttentionState.USED, KERNEL: AttentionState.REFUSED}
    assert reasons(facts)[KERNEL].startswith("what it gives differs from rows by")
    serves(loaded, rig)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("wish", WISHES)
def test_a_kernel_that_is_right_is_used(kernel, wish):
    used = set()

    def counted(right, queries, layer, plan):
        used.add(plan.split.count)
        return right(queries, layer, plan)

    kernel(counted)
    loaded, rig, facts = choose("llama", wish)
    assert states(facts)[KERNEL] is AttentionState.USED
    used.clear()
    serves(loaded, rig)
    assert 3 in used


@pytest.mark.parametrize("name", ["llama", "gpt_oss", "gemma3_text", "falcon_h1", "deepseek_v3"])  # plain; sinks; windows; states; latents
def test_gathering_can_be_forced(name):
    loaded, rig, facts = choose(name, "gather")
    assert states(facts) == {ROWS: AttentionState.USED, GATHER: AttentionState.USED, KERNEL: AttentionState.UNASKED}
    serves(loaded, rig)


def test_rows_can_be_forced():
    loaded, rig, facts = choose("llama", "rows")
    assert states(facts) == {ROWS: AttentionState.USED, GATHER: AttentionState.UNASKED, KERNEL: AttentionState.UNASKED}
    serves(loaded, rig)


def test_a_way_that_the_device_lacks_is_said_and_rows_is_used():
    loaded, rig, facts = choose("llama", "kernel")
    assert (states(facts)[KERNEL], reasons(facts)[KERNEL]) == (AttentionState.UNAVAILABLE, "needs Metal or CUDA")
    assert (states(facts)[ROWS], reasons(facts)[ROWS]) == (AttentionState.USED, "kernel cannot be used")
    serves(loaded, rig)


def test_a_model_without_keys_and_values_attends_by_nothing():
    loaded, rig, facts = choose("mamba2", "auto")
    assert reasons(facts)[GATHER] == "no layer of the model has keys and values"
    serves(loaded, rig)


@pytest.mark.usefixtures("timed")
@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_what_is_measured_is_said(name):
    loaded, rig, facts = choose(name, "auto")
    assert states(facts)[GATHER] in {AttentionState.USED, AttentionState.SLOWER}
    assert "times as fast as rows with" in reasons(facts)[GATHER]
    serves(loaded, rig)


def test_half_precision_is_tried_in_its_own_type(monkeypatch):
    loaded, types = dataclasses.replace(architecture("llama"), dtype="bfloat16"), set()
    loaded.model.set_dtype(mx.bfloat16)
    difference = attention_choice.Trial.difference
    monkeypatch.setattr(
        attention_choice.Trial, "difference", lambda trial, *ways: (types.add(trial.shape.dtype), difference(trial, *ways))[1]
    )
    order = load_message("org/tiny", mode="continuous", cache_kind="paged", block_size=8, attention="gather")
    choice = choose_runner(order, resolved(order.limits), loaded)
    assert states(choice.attention)[GATHER] is AttentionState.USED
    assert types == {mx.bfloat16}


# ---- regions ----


def test_a_step_gets_the_way_of_the_region_that_is_nearest():
    regions = Regions(chosen={Region(8, 128): GATHER, Region(8, 512): KERNEL}, most_copied=10_000)
    found = {rows: regions.way(rows, rows, 128, 128 * rows) for rows in (1, 5, 6, 11, 12, 40)}
    assert found == {1: ROWS, 5: ROWS, 6: GATHER, 11: GATHER, 12: ROWS, 40: ROWS}
    assert [regions.way(8, 8, tokens, 8 * tokens) for tokens in (1, 255, 257, 1023, 1025, 10**6)] == [
        GATHER,
        GATHER,
        KERNEL,
        KERNEL,
        ROWS,
        ROWS,
    ]


def test_gathering_copies_no_more_than_there_is_room_for_and_no_padding_to_speak_of():
    measured = Regions(chosen={Region(8, 128): GATHER}, most_copied=2000)
    assert measured.way(8, 8, 200, 8 * 200) is GATHER
    assert measured.way(8, 8, 255, 8 * 255) is ROWS  # too much
    assert measured.way(8, 8, 200, 799) is ROWS  # most of it padding
    assert measured.way(6, 30, 60, 6 * 60) is ROWS  # the same keys for each guess
    forced = Regions(usual=GATHER, most_copied=2000)
    assert forced.way(8, 8, 200, 300) is GATHER
    assert forced.way(8, 8, 255, 8 * 255) is ROWS


def test_what_is_not_clearly_faster_is_not_used():
    gains = {GATHER: {Region(32, 128): 1.31, Region(16, 128): 1.2}, KERNEL: {Region(32, 128): 1.4, Region(32, 512): 1.29}}
    assert Timing(1.3, gains).regions(0).chosen == {Region(32, 128): KERNEL}
