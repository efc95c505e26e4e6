"""Adapters on the engine thread: which of them have a slot, and whose turn it is to give his up."""
