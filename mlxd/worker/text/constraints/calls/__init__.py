"""Grammars of tool calls, one form for each shape in which models write them."""
