"""The parser of LongCat's calls.

``<longcat_tool_call>f``, then ``<longcat_arg_key>KEY</longcat_arg_key><longcat_arg_value>VALUE</longcat_arg_value>`` for each argument,
then ``</longcat_tool_call>``; or a JSON object between the same tags.
"""

import re

from mlxd.worker.text.parsers.glm import GlmParser


class LongcatParser(GlmParser):
    """A parser of names with keys and values in tags, or of JSON objects."""

    openings = ("<longcat_tool_call>",)
    closings = ("</longcat_tool_call>",)
    markers = frozenset({*openings, *closings, "<longcat_arg_key>", "</longcat_arg_key>", "<longcat_arg_value>", "</longcat_arg_value>"})

    section_closes = "</longcat_tool_call>"
    function_opens = "<longcat_tool_call>"
    function_closes = "</longcat_tool_call>"
    parameter_opens = "<longcat_arg_key>"
    parameter_tail = re.compile(r"\s*(?P<name>[^<>]+?)\s*</longcat_arg_key>(?:\\n|\s)*<longcat_arg_value>")
    parameter_tail_ends = "<longcat_arg_value>"
    value_closes = "</longcat_arg_value>"
