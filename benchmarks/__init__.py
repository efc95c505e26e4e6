"""Benchmarks of mlxd against other servers of MLX models, in the same run. See README.md."""
