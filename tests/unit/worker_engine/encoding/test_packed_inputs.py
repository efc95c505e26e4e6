"""What is packed comes out as it went in, and takes less."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.engine.encoding.packed_inputs import PackedInputs

INPUTS = st.builds(EncodedInput, st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20), st.integers(0, 9), st.integers(0, 9))


@given(st.lists(INPUTS, min_size=1), st.integers(0, 20))
def test_inputs_come_out_as_they_went_in(inputs, cut):
    packed = PackedInputs.of(inputs[:cut])
    packed.extend(inputs[cut:])
    assert [packed[place] for place in range(len(packed))] == inputs
    assert packed.lengths == [len(one.tokens) for one in inputs]
    assert packed.tokens == sum(packed.lengths)


def test_a_token_takes_about_four_bytes():
    packed = PackedInputs.of(EncodedInput(list(range(1000, 1256))) for _ in range(200))
    assert sum(sys.getsizeof(value) for value in vars(packed).values()) < 5 * 200 * 256
