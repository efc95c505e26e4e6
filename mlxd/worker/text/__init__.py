"""Text and tokens: prompts in, detokenized text out, stop strings."""
