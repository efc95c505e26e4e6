"""Is a model directory whole? Checked before anything is loaded, so that the error can name the file."""

from pathlib import Path

from mlxd.worker.facts.directory import WholeDirectory


def check_model_directory(directory: Path) -> None:
    """Raises ``ModelSourceError`` that names the file and what is wrong with it; lets a whole directory pass in silence.

    It reads JSON files and the headers of weights, not the weights: that takes a fraction of a second.
    """
    WholeDirectory.check(directory)
