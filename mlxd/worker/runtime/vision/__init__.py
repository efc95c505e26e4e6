"""Models of mlx-vlm, which see pictures and films."""
