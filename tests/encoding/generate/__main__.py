"""Makes the models in little, and their references: see README.md beside this file."""

import argparse
import json
from pathlib import Path

from tests.encoding.generate.checkpoints import make_checkpoint
from tests.encoding.generate.families import FAMILIES
from tests.encoding.generate.references import refer, vectors_of
from tests.support.minilm import MINILM_TEXTS

DATA = Path(__file__).parents[2] / "data" / "encoding"


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes tiny models that encode, and what sentence-transformers computes with them.")
    parser.add_argument("names", nargs="*", default=list(FAMILIES), help="families; all if none is named")
    parser.add_argument("--minilm", type=Path, help="the directory of all-MiniLM-L6-v2: of that, only references are made")
    arguments = parser.parse_args()
    if arguments.minilm:
        vectors = vectors_of(arguments.minilm, MINILM_TEXTS)
        (DATA / "minilm.json").write_text(json.dumps(vectors) + "\n")
        return
    for name in arguments.names:
        make_checkpoint(FAMILIES[name], DATA / name)
        refer(FAMILIES[name], DATA / name)


if __name__ == "__main__":
    main()
