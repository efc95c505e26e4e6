"""Models that see: the only room that imports Pillow, PyAV and what of transformers prepares pictures; for models without eyes, nothing."""
