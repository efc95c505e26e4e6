"""Models in GGUF files: weights, metadata, tokenizer."""
