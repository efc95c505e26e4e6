"""Biases, penalties and ends that are held back: for many sequences at once what each would get alone, token by token."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.config.values import LEAST_REPETITION_PENALTY
from mlxd.types import SamplingParams, Stopping
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sampled import SampledRow
from mlxd.worker.runtime.sampling import filters
from mlxd.worker.runtime.sampling.count_table import CountTable
from mlxd.worker.runtime.sampling.logits_processor import NewTokens
from mlxd.worker.runtime.sampling.no_end import NoEnd
from mlxd.worker.runtime.sampling.penalties import Penalties
from mlxd.worker.runtime.sampling.processors import processors_of
from mlxd.worker.runtime.sampling.row_sampler import RowSampler
from mlxd.worker.runtime.sampling.token_counts import Beginning
from tests.support.examples import examples

VOCAB = 32
ENDS = {3, 5}


def request(name="a", prompt=(1, 2), stopping=None, **sampling):
    encoded = EncodedPrompt(list(prompt), 99, CacheRoot(model="m"))
    return EngineRequest(name, encoded, SamplingParams(**sampling), stopping=stopping or Stopping())


def reference(asked, output, logits):
    """A row ``[vocab]`` by the definitions, each count a vocabulary wide."""
    params, row = asked.sampling, mx.array(logits)
    bias, seen = np.zeros(VOCAB, np.float32), np.zeros(VOCAB, bool)
    counts = np.bincount(output, minlength=VOCAB).astype(np.int32) if output else np.zeros(VOCAB, np.int32)
    for token, value in params.logit_bias.items():
        bias[token] = value
    seen[[*asked.tokens, *output]] = True
    row = row + mx.array(bias)
    if params.repetition_penalty != 1:
        penalised = mx.where(row > 0, row / params.repetition_penalty, row * params.repetition_penalty)
        row = mx.where(mx.array(seen), penalised, row)
    row = row - params.frequency_penalty * mx.array(counts) - params.presence_penalty * (mx.array(counts) > 0)
    ends = sorted(asked.ends(ENDS))
    if len(output) < asked.stopping.min_tokens and ends:
        others = np.array(row)
        others[ends] = -np.inf
        row = row if np.all(np.isneginf(others)) else mx.array(others)
    return np.array(row)


def applied(processors, logits, rows):
    logits = mx.array(logits)
    for processor in processors:
        logits = processor.apply(logits, rows)
    return np.array(logits)


penalties = st.fixed_dictionaries(
    {},
    optional={
        "repetition_penalty": st.sampled_from([0.5, 1.1, 2.0]),
        "presence_penalty": st.sampled_from([-1.0, 0.5]),
        "frequency_penalty": st.sampled_from([-0.5, 0.25, 1.5]),
        "logit_bias": st.dictionaries(st.integers(0, VOCAB - 1), st.sampled_from([-100.0, -1.5, 0.25, 100.0]), max_size=5),
        "stopping": st.builds(Stopping, min_tokens=st.integers(0, 6), token_ids=st.lists(st.integers(0, VOCAB - 1), max_size=3)),
        "prompt": st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=9),
    },
)
tokens = st.lists(st.integers(0, 9), max_size=4).map(tuple)  # few different ones, so that some come often


@settings(deadline=None, max_examples=examples(32))
@given(data=st.data())
def test_rows_that_join_guess_accept_and_leave_are_changed_as_each_would_be_alone(data):
    asked, outputs = {}, {}
    processors = [Penalties(VOCAB), NoEnd(VOCAB, ENDS)]
    chance = np.random.default_rng(data.draw(st.integers(0, 99)))
    for step in range(data.draw(st.integers(1, 6))):
        for name in [name for name in asked if data.draw(st.integers(0, 5)) == 0]:
            del asked[name], outputs[name]
            for processor in processors:
                processor.close(name)
        for number in range(data.draw(st.integers(0, 3))):
            name = f"{step}-{number}"
            asked[name], outputs[name] = request(name, **data.draw(penalties)), []
            for processor in processors:
                processor.open(asked[name])
        names = [name for name in asked if data.draw(st.booleans())]  # others are late, or wait
        guesses = {name: data.draw(tokens) for name in names}
        rows = [SampledRow(name, guesses[name][:count]) for name in names for count in range(len(guesses[name]) + 1)]
        if not rows:
            continue
        logits = (chance.standard_normal((len(rows), VOCAB)) * 3).astype(np.float32)
        found = applied(processors, logits, rows)
        for row, before, after in zip(rows, logits, found, strict=True):
            assert np.array_equal(after, reference(asked[row.sequence], [*outputs[row.sequence], *row.guessed], before)), row
        came = {name: [*guesses[name][: data.draw(st.integers(0, 4))], data.draw(st.integers(0, 9))] for name in names}
        for processor in processors:
            processor.add(NewTokens.of(came))
        for name in names:
            outputs[name] += came[name]


def test_a_long_answer_and_a_long_prompt_are_counted_to_their_end():
    asked = request(prompt=[7, 8, 9], repetition_penalty=1.5, frequency_penalty=0.1)
    (processor,) = processors_of(asked, VOCAB, ())
    output, logits = [], np.linspace(-2, 2, VOCAB, dtype=np.float32)
    for position in range(300):
        output.append(position * position % 31)
        processor.add(NewTokens(("a",), (1,), mx.array([[output[-1]]], dtype=mx.uint32)))
    assert np.array_equal(applied([processor], logits[None], [SampledRow("a")])[0], reference(asked, output, logits))


def penalised(sampling, prompt, output, logits):
    (processor,) = processors_of(request(prompt=prompt, **sampling), VOCAB, ())
    for token in output:
        processor.add(NewTokens(("a",), (1,), mx.array([[token]])))
    return applied([processor], logits[None], [SampledRow("a")])[0]


def test_repetition_counts_prompt_and_output_presence_and_frequency_the_output_only():
    logits = np.linspace(-2, 2, VOCAB).astype(np.float32)
    changed = penalised({"repetition_penalty": 2.0}, [0], [VOCAB - 1], logits)
    assert changed[0] == -4
    assert changed[VOCAB - 1] == 1
    assert np.array_equal(changed[1:-1], logits[1:-1])
    changed = penalised({"presence_penalty": 0.5, "frequency_penalty": 0.25}, [0], [3, 3, 5], logits)
    expected = logits.copy()
    expected[3] -= 0.5 + 2 * 0.25
    expected[5] -= 0.5 + 0.25
    assert np.allclose(changed, expected)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_the_least_repetition_penalty_leaves_logits_finite(dtype):
    """A client must not be able to make a healthy model look damaged."""
    (processor,) = processors_of(request(prompt=range(VOCAB), repetition_penalty=LEAST_REPETITION_PENALTY), VOCAB, ())
    logits = mx.full((1, VOCAB), 500.0, dtype=dtype)
    assert mx.all(mx.isfinite(processor.apply(logits, [SampledRow("a")]))).item()


def test_logit_bias_is_added():
    changed = penalised({"logit_bias": {4: 3.0, 6: -100.0}}, [1], [], np.zeros(VOCAB, np.float32))
    assert (changed[4], changed[6], changed[5]) == (3.0, -100.0, 0.0)


@pytest.mark.parametrize("wrong", [[-1, VOCAB, 10**9]])
def test_what_is_no_token_of_the_model_changes_nothing(wrong):
    asked = request(stopping=Stopping(min_tokens=2, token_ids=wrong), prompt=[1], logit_bias=dict.fromkeys(wrong, 50.0))
    logits = np.linspace(-2, 2, VOCAB, dtype=np.float32)
    expected = logits.copy()
    expected[[3, 5]] = -np.inf
    assert np.array_equal(applied(processors_of(asked, VOCAB, ENDS), logits[None], [SampledRow("a")])[0], expected)


def test_nothing_is_needed_where_nothing_is_asked():
    assert processors_of(request(), 10, {3}) == []
    assert processors_of(request(stopping=Stopping(ignore_end=True, token_ids=[4])), 10, {3}) == []
    assert processors_of(request(stopping=Stopping(ignore_end=True, min_tokens=4)), 10, {3}) == []
    assert processors_of(request(stopping=Stopping(min_tokens=4)), 10, {3})
    for field in ({"logit_bias": {1: 1.0}}, {"repetition_penalty": 1.1}, {"presence_penalty": 0.1}, {"frequency_penalty": 0.1}):
        assert processors_of(request(**field), 10, {3})


def test_what_was_held_is_given_back_when_the_last_has_left():
    processor = Penalties(VOCAB)
    for name in "ab":
        processor.open(request(name, frequency_penalty=1.0))
        processor.add(NewTokens.of({name: [1, 2]}))
    for name in "ab":
        processor.close(name)
    assert all(tensor.size == 0 for tensor in processor.tensors())


def operations(tmp_path, *arrays):
    mx.export_to_dot(str(tmp_path / "graph.dot"), *arrays)
    return (tmp_path / "graph.dot").read_text().count("rectangle")


@pytest.mark.parametrize("guesses", [0, 3])
def test_the_operations_of_a_step_do_not_grow_with_its_rows(tmp_path, monkeypatch, guesses):
    monkeypatch.setattr(filters, "prefers_thresholds", lambda: True)
    counts = []
    for sequences in (2, 9, 32):
        sampler = RowSampler(VOCAB, ENDS)
        for at in range(sequences):
            asks = {"repetition_penalty": 1.1 + at, "frequency_penalty": 0.5, "logit_bias": {at: 1.0}, "top_p": 0.9, "top_k": 9}
            sampler.open(request(str(at), stopping=Stopping(min_tokens=9), **asks))
        rows = [SampledRow(str(at), (1, 2, 3)[:count]) for at in range(sequences) for count in range(guesses + 1)]
        for _ in range(2):
            draws = sampler.sample(mx.zeros((len(rows), VOCAB)), rows)
            counts.append(operations(tmp_path, *draws.tensors()))
            sampler.accept(draws.read())
            if guesses:  # more operations where more were right
                mx.eval(sampler._processors[0].tensors())
        del counts[-2]  # they join
    assert len(set(counts)) == 1, counts


def test_a_table_gives_back_what_a_long_answer_needed_while_others_go_on():
    table = CountTable()
    rows = [table.begin(Beginning.of(SamplingParams(presence_penalty=1.0), [at], VOCAB)) for at in range(9)]
    for _ in range(300):
        table.add(rows[8:], [1], mx.array([[7]]))
    table.add(rows[:1], [2], mx.array([[4, 4]]))
    assert table.shape == (16, 512)
    for row in rows[1:]:
        table.end(row)
    assert table.shape == (4, 64)
    counts = table.of(rows[:1])
    assert dict(zip(counts.ids[0].tolist(), counts.counts[0].tolist(), strict=True))[4] == 2
