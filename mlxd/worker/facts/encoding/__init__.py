"""What the directory of a model says that makes vectors or scores of texts, as sentence-transformers writes such directories."""
