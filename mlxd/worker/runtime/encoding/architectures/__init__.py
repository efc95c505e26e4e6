"""The architectures of models that encode: of each, what is computed, and how its weights are called in files."""
