"""Whether calls that a model's template writes are found by the parser that is to read the model's own."""

from collections.abc import Callable, Collection, Sequence
from itertools import takewhile

from mlxd.wire.output_spec import OutputSpec, Tool, ToolRules
from mlxd.wire.parts import ToolCallArguments, ToolCallBegun
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.template_probe import PROBED, ExampleCall

_WHOLE = 2**16  # tokens of a delta


def reads_call(example: ExampleCall, reader: AnswerReader, encode: Callable[[str], Sequence[int]], ends: Collection[int]) -> bool:
    """Tells whether ``reader`` finds the call in what a template wrote of it. ``ends`` are the tokens that end an answer."""
    size = sum(1 for _ in takewhile(bool, map(str.__eq__, example.prompt, example.written)))
    opened, call = example.written[:size], example.written[size:]
    prompt = EncodedPrompt([*encode(opened)], 1, CacheRoot(model=""))
    rules = ToolRules(tools=[Tool(name=PROBED.name, parameters=PROBED.parameters)])
    output = reader.output(prompt, OutputSpec(tools=rules), _WHOLE)
    parts = []
    for token in takewhile(lambda token: token not in ends, encode(call)):
        piece = output.push(token)
        parts += piece.parts if piece else []
    parts += output.finish().parts
    names = [part.name for part in parts if isinstance(part, ToolCallBegun)]
    arguments = "".join(part.text for part in parts if isinstance(part, ToolCallArguments))
    return names == [PROBED.name] and PROBED.value in arguments
