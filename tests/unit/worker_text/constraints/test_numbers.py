"""Numbers near their bounds: whatever may be written is valid once a reader has made a double of it."""

import json
import math
import random
from decimal import Decimal, getcontext
from fractions import Fraction

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.errors import InvalidRequestError
from mlxd.wire.output_spec import JsonSchema, OutputSpec
from mlxd.worker.text.constraints.compiler import GrammarCompiler
from mlxd.worker.text.constraints.contents import Contents
from tests.support.examples import examples
from tests.unit.worker_text.constraints.walk import EndlessError, constraint_of, tiny_vocabulary, walked

VOCABULARY = tiny_vocabulary()
COMPILER = GrammarCompiler(VOCABULARY)
CONTENTS = Contents(COMPILER)

getcontext().prec = 1_100  # digits of every double

BOUNDS = st.one_of(
    st.sampled_from((0, -0.0, 1, -2, 0.1, 0.30000000000000004, -1.25, 1e-9, 123456.789, 2**53 - 1, -(2**53 - 1), 2**52 + 0.5, 2**31)),
    st.integers(-200, 200),
    st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda bound: bound == 0 or abs(bound) > 1e-12),
)
DIVISORS = st.sampled_from((1, 2, 3, 7, 10, 0.5, 0.25, 0.1, 0.01, 0.03, 1.5, 0.0001, 1e-9))


def writable(schema):
    """What tells whether a grammar lets a text be the whole answer."""
    untouched = COMPILER.matcher(CONTENTS.rule(JsonSchema(field="schema", schema=schema)))

    def is_written(text):
        matcher, tokens = untouched.deep_copy(), VOCABULARY.tokens(text)
        return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()

    return is_written


def is_written(schema, text):
    return writable(schema)(text)


def near(bound):
    """Decimals around a bound: itself, the doubles next to it, what lies between them and is read as one of them, and shorter ones."""
    exact = Decimal(bound)
    for neighbour in (math.nextafter(bound, math.inf), math.nextafter(bound, -math.inf)):
        step = Decimal(neighbour) - exact
        yield from (exact + step * Decimal(part) for part in ("0.001", "0.4", "0.51", "0.9", "1", "10", "1e9"))
        yield Decimal(repr(neighbour))
    yield from (exact, Decimal(repr(bound)), exact + 1, exact - 1, exact.to_integral_value())


def texts(bound):
    for number in near(bound):
        plain = f"{number:f}"
        longer = plain + ("" if "." in plain else ".") + "0" * 400
        yield from (plain, longer + "1")


@settings(max_examples=examples(16), deadline=None)
@given(st.dictionaries(st.sampled_from(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")), BOUNDS, min_size=1, max_size=2))
def test_what_is_written_near_a_bound_is_valid(bounds):
    schema = {"type": "number", **bounds}
    try:
        is_written = writable(schema)
    except InvalidRequestError:
        return  # bounds that leave nothing between them
    valid = jsonschema_rs.validator_for(schema)
    for text in {text for bound in bounds.values() for text in texts(bound)}:
        assert not is_written(text) or valid.is_valid(float(text)), (schema, text)


@settings(max_examples=examples(24), deadline=None)
@given(DIVISORS, st.integers(1, 10**22), st.sampled_from(("number", "integer")))
def test_a_multiple_is_one_as_a_double(divisor, times, kind):
    schema = {"type": kind, "multipleOf": divisor}
    for number in (times * Decimal(repr(divisor)), -times * Decimal(repr(divisor)), Decimal(times)):
        if is_written(schema, f"{number:f}"):
            read = Fraction(repr(float(number)))  # as short as the double may be written
            assert (read / Fraction(repr(divisor))).denominator == 1, (schema, number)
            assert float(number).is_integer() or kind == "number"


WRITTEN = (
    ({"minimum": 0}, ("0", "0.5", "1000000", "0.123456789012345678"), ("-0.5",)),
    ({"exclusiveMinimum": 0}, ("0.5", "1", "0.0000000000000000000001"), ("0", "0.0", "-1", "0." + "0" * 400 + "1")),
    ({"exclusiveMaximum": -2}, ("-2.00000000000001", "-3", "-2.1"), ("-2", "-2.0000000000000002", "-2.0")),
    ({"exclusiveMinimum": 0, "exclusiveMaximum": 1}, ("0.5", "0.99999999999999"), ("0", "1", "0.99999999999999999999999")),
    ({"exclusiveMinimum": 0, "maximum": 1e-17}, ("0.00000000000000001",), ("0", "0.0")),
    ({"minimum": 0.30000000000000004}, ("0.300000000000001", "0.4"), ("0.3", "0.30000000000000002")),
    ({"maximum": -1.9999999999999998}, ("-2", "-3.5"), ("-1.99999999999999989", "-1.9999999999999997")),
    ({"minimum": 0, "exclusiveMinimum": True, "maximum": 5}, ("5", "0.1"), ("0", "5.1")),
    ({"maximum": 5, "exclusiveMaximum": False}, ("5",), ("6",)),
    ({"maximum": 10**400}, (), ()),
    ({"maximum": 1e30}, ("9007199254740991",), ("9007199254740993",)),
    ({"multipleOf": 0.01}, ("0.07", "19.99", "100"), ("0.075", "123456789012345678.01")),
    ({"multipleOf": 12.34}, ("12.34", "24.68", "1234"), ("12.35",)),
    ({}, ("1.5", "-0.5", "999999999999999999"), ("1e999", "1" + "0" * 400)),
)


@pytest.mark.parametrize(("bounds", "right", "wrong"), WRITTEN)
def test_numbers_that_may_be_written(bounds, right, wrong):
    schema = {"type": "number", **bounds}
    if not right:
        with pytest.raises(InvalidRequestError):
            is_written(schema, "0")
        return
    for text in right:
        assert is_written(schema, text), text
    for text in wrong:
        assert not is_written(schema, text), text


@pytest.mark.parametrize("bounds", [{"exclusiveMinimum": 5, "maximum": 7}, {"exclusiveMinimum": 0, "exclusiveMaximum": 3}])
def test_whole_numbers_beside_an_exclusive_bound_are_allowed(bounds):
    low, high = bounds["exclusiveMinimum"], bounds.get("maximum", bounds.get("exclusiveMaximum"))
    written = {number for number in range(-10, 10) if is_written({"type": "integer", **bounds}, str(number))}
    assert written == set(range(low + 1, high + ("maximum" in bounds)))


def test_bounds_in_parts_of_a_schema_hold_together():
    schema = {"allOf": [{"type": "number", "exclusiveMinimum": 1}, {"exclusiveMaximum": 2}, {"multipleOf": 0.25}]}
    assert [text for text in ("1", "1.25", "1.3", "1.75", "2", "1.99999999999999999999") if is_written(schema, text)] == ["1.25", "1.75"]


@pytest.mark.parametrize("schema", [{"enum": [1, 0.30000000000000004]}, {"const": [2**53]}, {"const": 1e-30}])
def test_a_constant_that_is_not_read_as_itself_is_refused(schema):
    with pytest.raises(InvalidRequestError, match="told apart"):
        is_written(schema, "1")


def test_common_multiples_that_are_too_great_are_refused():
    assert is_written({"allOf": [{"multipleOf": 0.25}, {"multipleOf": 0.1}]}, "1.5")
    with pytest.raises(InvalidRequestError) as refused:
        is_written({"allOf": [{"type": "number", "multipleOf": 0.9999}, {"multipleOf": 9999}]}, "9999")
    assert refused.value.param == "schema/allOf/1/multipleOf"


@pytest.mark.parametrize("part", range(4))
def test_random_walks_between_random_bounds_are_valid(part):
    chance, ended = random.Random(part), 0  # noqa: S311
    for seed in range(40):
        low = chance.choice((chance.randrange(-50, 50), round(chance.uniform(-3, 3), chance.randrange(1, 17))))
        span = chance.choice((1, 0.5, 1e-3, 1e-9, 100, 10**9))
        bounds = {chance.choice(("minimum", "exclusiveMinimum")): low, chance.choice(("maximum", "exclusiveMaximum")): low + span}
        schema = {"type": "number", **{key: bound for key, bound in bounds.items() if chance.random() < 0.8}}
        try:
            text = walked(constraint_of(OutputSpec(constraint=JsonSchema(field="schema", schema=schema))), seed=seed, most=400)
        except (EndlessError, InvalidRequestError):
            continue
        ended += 1
        assert jsonschema_rs.is_valid(schema, json.loads(text)), (schema, text)
        assert math.isfinite(json.loads(text))
    assert ended > 30
