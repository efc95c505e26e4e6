"""Which parser reads which shape."""

from collections.abc import Callable, Mapping

from mlxd.types import ReasoningShape, ToolShape
from mlxd.wire.output_spec import ToolRules
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.parsers.blocks import BlockParser
from mlxd.worker.text.parsers.composed import ComposedParser
from mlxd.worker.text.parsers.harmony import HarmonyParser
from mlxd.worker.text.parsers.hermes import HermesParser
from mlxd.worker.text.parsers.parser import OutputParser
from mlxd.worker.text.parsers.plain import PlainParser
from mlxd.worker.text.parsers.tools import ToolsParser
from mlxd.worker.text.shape_rules import THINKING
from mlxd.worker.text.shapes import Shapes

TOOLS: Mapping[ToolShape, Callable[[ToolRules], ToolsParser]] = {
    ToolShape.HERMES: HermesParser,
}


def parser_for(shapes: Shapes, rules: ToolRules | None, opening: Opening) -> OutputParser:
    """Returns the parser of one answer. Without ``rules`` nothing in it is a call."""
    if ReasoningShape.HARMONY in {shapes.reasoning, shapes.tools}:
        return HarmonyParser()
    tools = TOOLS[shapes.tools](rules) if rules is not None and shapes.tools in TOOLS else None
    block = shapes.thinking or next(iter(THINKING[shapes.reasoning]), None)
    if block is None:
        return tools or PlainParser()
    reasoning = BlockParser(block, opening, tools.interrupts if tools else frozenset())
    return ComposedParser(reasoning, tools or PlainParser())
