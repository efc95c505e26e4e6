"""The fields that chat and text completions share beside those of every API."""

import msgspec
from typing_extensions import override

from mlxd.api.fields.generation import GenerationFields
from mlxd.api.keys import ReadyModel
from mlxd.api.openai.choices import ChoiceFields
from mlxd.api.openai.constraints import ConstraintFields
from mlxd.api.openai.stopping import StoppingFields
from mlxd.api.openai.streaming import StreamFields
from mlxd.wire.output_spec import OutputSpec


class CompletionFields(ChoiceFields, StoppingFields, ConstraintFields, StreamFields, GenerationFields):
    """The fields of both endpoints."""

    @override
    def output(self, model: ReadyModel) -> OutputSpec:
        return msgspec.structs.replace(
            super().output(model),
            include_stop=bool(self.include_stop_str_in_output),
            special_tokens=self.skip_special_tokens is False,
        )
