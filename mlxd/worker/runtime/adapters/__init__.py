"""Adapters in a model's layers: rows of different ones, and of none, in one call."""
