"""The runners whose prefix cache keeps whole prompts, over mlx-lm's own generation."""
