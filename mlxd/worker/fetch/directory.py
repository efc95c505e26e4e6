"""Is a model directory whole? Checked before anything is loaded, so that the error can name the file."""

from pathlib import Path

from mlxd.worker.facts.directory import WholeDirectory


def check_model_directory(directory: Path) -> None:
    """Raises ``ModelSourceError`` that names the file and what is wrong with it; a whole directory passes in silence.

    JSON files and the headers of weights are read, not the weights: a fraction of a second.
    """
    WholeDirectory.check(directory)
