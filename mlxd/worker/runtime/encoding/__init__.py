"""Models that make vectors or scores of texts, in MLX."""
