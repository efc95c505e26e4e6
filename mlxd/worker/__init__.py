"""Everything that runs in a model's own process."""
