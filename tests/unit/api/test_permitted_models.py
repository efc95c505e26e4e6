from pathlib import Path

import mlxd

# Those that need not ask by whose key: the view itself, the wiring, and health, which names no model.
WITHOUT = {"permitted_models.py", "app.py", "health.py", "keys.py"}


def test_nobody_else_asks_of_a_model_but_by_what_the_key_may_see():
    """An endpoint that took the models from the application would let every key ask for every one."""
    files = [path for path in (Path(mlxd.__file__).parent / "api").rglob("*.py") if path.name not in WITHOUT]
    assert [path.name for path in files if "MODELS" in path.read_text().replace("PERMITTED_MODELS", "")] == []
