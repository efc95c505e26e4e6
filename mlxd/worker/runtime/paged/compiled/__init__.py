"""Decode steps as compiled functions: the graph of a step is built once for a shape, and not again in Python at every step."""
