"""mlxd beside the other servers of MLX models: everything that is published, in one run, and what it is published as."""
