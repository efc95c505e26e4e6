"""``POST /v1/responses``: here a response begins. What all endpoints share is in ``api/generate.py``."""

from mlxd.api.dialect import Dialect
from mlxd.api.responses.answers import ResponseShape, early_failure
from mlxd.api.responses.request import responses_request
from mlxd.listener.errors import openai_error_body

RESPONSES = Dialect(
    path="/v1/responses",
    endpoint="responses",
    answer_prefix="resp_",
    read=responses_request,
    shape=ResponseShape,
    error=openai_error_body,
    early_failure=early_failure,
)
