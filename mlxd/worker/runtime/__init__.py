"""The only code that imports mlx or mlx_lm."""
