"""What an adapter's files say: mlx-lm's format and PEFT's, read as data, without the model that they are for."""
