"""Blocks of keys and values on disk: what left memory is found again, also after a restart."""
