"""Which parser reads which shape."""

from collections.abc import Callable, Mapping
from functools import partial

from mlxd.types import ReasoningShape, ToolShape
from mlxd.wire.output_spec import ToolRules
from mlxd.worker.encoded_prompt import Opening
from mlxd.worker.text.parsers.blocks import BlockParser, CallsInside
from mlxd.worker.text.parsers.cohere import CohereParser, CohereTextParser
from mlxd.worker.text.parsers.composed import ComposedParser
from mlxd.worker.text.parsers.deepseek import DeepseekParser
from mlxd.worker.text.parsers.gemma import GemmaChannelParser, GemmaParser
from mlxd.worker.text.parsers.glm import GlmParser
from mlxd.worker.text.parsers.harmony import HarmonyParser
from mlxd.worker.text.parsers.hermes import HermesParser
from mlxd.worker.text.parsers.json_bare import JsonParser
from mlxd.worker.text.parsers.kimi import KimiParser
from mlxd.worker.text.parsers.longcat import LongcatParser
from mlxd.worker.text.parsers.minimax import MinimaxParser
from mlxd.worker.text.parsers.mistral import MistralParser
from mlxd.worker.text.parsers.parser import OutputParser
from mlxd.worker.text.parsers.plain import PlainParser
from mlxd.worker.text.parsers.pythonic import PythonicParser
from mlxd.worker.text.parsers.qwen_xml import QwenXmlParser
from mlxd.worker.text.parsers.tools import ToolsParser
from mlxd.worker.text.shape_rules import THINKING
from mlxd.worker.text.shapes import Shapes

TOOLS: Mapping[ToolShape, Callable[[ToolRules], ToolsParser]] = {
    ToolShape.HERMES: HermesParser,
    ToolShape.JSON: JsonParser,
    ToolShape.MISTRAL: MistralParser,
    ToolShape.LONGCAT: LongcatParser,
    ToolShape.QWEN_XML: QwenXmlParser,
    ToolShape.GLM: GlmParser,
    ToolShape.PYTHONIC: PythonicParser,
    ToolShape.DEEPSEEK: DeepseekParser,
    ToolShape.KIMI: KimiParser,
    ToolShape.GEMMA: GemmaParser,
    ToolShape.COHERE: CohereParser,
    ToolShape.MINIMAX: MinimaxParser,
}


def parser_for(shapes: Shapes, rules: ToolRules | None, opening: Opening) -> OutputParser:
    """Returns the parser of one answer. Without ``rules`` nothing in it is a call."""
    if ReasoningShape.HARMONY in {shapes.reasoning, shapes.tools}:
        return HarmonyParser(rules)
    new_tools = partial(TOOLS[shapes.tools], rules) if rules is not None and shapes.tools in TOOLS else None
    tools = new_tools() if new_tools else None
    inner = tools or (CohereTextParser() if shapes.tools is ToolShape.COHERE else PlainParser())
    calls = CallsInside(tools.openings, tools.interrupts, new_tools) if tools and new_tools else None
    reasoning = _reasoning(shapes, opening, calls)
    return ComposedParser(reasoning, inner) if reasoning else inner


def _reasoning(shapes: Shapes, opening: Opening, calls: CallsInside | None) -> OutputParser | None:
    if shapes.reasoning is ReasoningShape.GEMMA:
        return GemmaChannelParser(opening, calls)
    block = shapes.thinking or next(iter(THINKING[shapes.reasoning]), None)
    return BlockParser(block, opening, calls) if block else None
