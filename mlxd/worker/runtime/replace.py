"""Other functions in the place of mlx-lm's own, which its model modules import by name."""

import importlib
from typing import Any

from mlx import nn


def replace_function(model: nn.Module, name: str, original: Any, replacement: Any) -> None:
    """Replaces the function in the modules the model is made of, where ``name`` is still the ``original``. It is idempotent."""
    for module_name in {type(module).__module__ for module in model.modules()}:
        module = importlib.import_module(module_name)
        if getattr(module, name, None) is original:
            setattr(module, name, replacement)
