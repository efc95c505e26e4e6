"""The memory of all models: what each has reserved, who gives way to whom, and the pool that their caches share."""
