"""Whatever ends is valid, by another implementation of JSON Schema, against the schema as the client wrote it."""

import json

import jsonschema_rs
import pytest

from mlxd.errors import InvalidRequestError
from mlxd.wire.output_spec import JsonSchema, OutputSpec
from tests.support.examples import examples
from tests.unit.worker_text.constraints.random_schemas import random_schema
from tests.unit.worker_text.constraints.walk import EndlessError, constraint_of, walked

PARTS, EACH = 8, examples(75)  # in parts, so that processes share them


@pytest.mark.parametrize("part", range(PARTS))
def test_an_answer_that_ends_is_valid(part):
    valid = refused = endless = 0
    for seed in range(part * EACH, (part + 1) * EACH):
        schema = random_schema(seed)
        try:
            constraint = constraint_of(OutputSpec(constraint=JsonSchema(field="schema", schema=schema)))
        except InvalidRequestError:
            refused += 1  # few: what is required may contradict itself
            continue
        try:
            text = walked(constraint, seed=seed, most=1_500)
        except EndlessError:
            endless += 1
            continue
        assert jsonschema_rs.is_valid(schema, json.loads(text)), (schema, text)
        valid += 1
    assert valid > 0.9 * EACH, (valid, refused, endless)
