"""Paged attention on unmodified mlx-lm models: a token is a row, keys and values are read in place."""
