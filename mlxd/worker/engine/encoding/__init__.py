"""The part of the engine that makes vectors and scores of texts."""
