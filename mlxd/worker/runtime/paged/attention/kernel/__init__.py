"""Attention of decode rows by a kernel of our own: one body, and a header for each language of a GPU."""
