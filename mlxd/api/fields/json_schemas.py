"""JSON schemas of answers, as fields."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from mlxd.api.fields.free_json import portable
from mlxd.api.fields.validation import problem
from mlxd.errors import InvalidRequestError
from mlxd.listener.json_text import json_type, parse_json_object


def _schema(value: object) -> Any:
    """Reads a schema, or the JSON text of one."""
    if isinstance(value, dict | bool):
        return portable(value)
    if not isinstance(value, str):
        raise problem(f"must be a JSON schema, which is an object, not {json_type(value)}")
    try:
        return portable(parse_json_object(value.encode()))
    except InvalidRequestError as error:
        raise problem(error.message.removeprefix("the body ")) from None


Schema = Annotated[Any, BeforeValidator(_schema, json_schema_input_type=dict[str, Any] | bool | str)]
