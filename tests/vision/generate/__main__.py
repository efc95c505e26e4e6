"""Makes the checkpoints and their references: see README.md beside this file."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from tests.vision.generate import torch_alone  # noqa: F401  before transformers
from tests.vision.generate.cases import cases
from tests.vision.generate.checkpoints import make_checkpoint
from tests.vision.generate.families import ARCHITECTURES, Architecture
from tests.vision.generate.pictures import draw_pictures
from tests.vision.generate.references import Reference, UnclearContinuationError, read_processor, refer, write
from tests.vision.manifest import write_manifest

DATA = Path(__file__).parents[2] / "data" / "vision"
SEEDS = 200
log = logging.getLogger("generate")


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes tiny vision models and what transformers computes with them.")
    parser.add_argument("names", nargs="*", default=list(ARCHITECTURES), help="architectures; all if none is named")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    draw_pictures(arguments.data / "pictures")
    for name in arguments.names:
        generate(ARCHITECTURES[name], arguments.data)
    write_manifest(arguments.data)


def generate(architecture: Architecture, data: Path) -> None:
    """Takes the first seed with which no case is decided by rounding."""
    for seed in range(architecture.seed, architecture.seed + SEEDS):
        try:
            references = attempt(replace(architecture, seed=seed), data)
        except UnclearContinuationError as unclear:
            log.info("%s: seed %d: %s", architecture.name, seed, unclear)
            continue
        write(references, data / architecture.name)
        log.info("%s: seed %d, %d cases", architecture.name, seed, len(references))
        return
    raise SystemExit(f"{architecture.name}: no seed makes every case clear")


def attempt(architecture: Architecture, data: Path) -> list[Reference]:
    directory = data / architecture.name
    model = make_checkpoint(architecture, directory)
    processor = read_processor(directory)
    return [refer(case, model, processor, data / "pictures") for case in cases(videos=architecture.videos)]


if __name__ == "__main__":
    main()
