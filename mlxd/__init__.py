"""mlxd: the inference daemon for Apple's MLX that an operator would trust."""

__version__ = "0.1.0"
