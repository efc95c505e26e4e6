"""The configuration knows the built-in models' names and may not import the worker, which knows how to get them."""

from mlxd.config.source import BUILTIN_MODELS
from mlxd.worker.fetch import builtin


def test_both_name_the_same_models():
    assert set(BUILTIN_MODELS) == set(builtin.BUILTINS)
