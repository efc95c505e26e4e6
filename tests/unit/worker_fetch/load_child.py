"""``mlxd.worker.pull`` that fetches as a worker loads: what is cached is taken without a question. Run as a script."""

import sys

from mlxd.worker import pull
from mlxd.worker.runtime.source import fetch_model

if __name__ == "__main__":
    pull.pull_model = fetch_model
    sys.exit(pull.main(sys.argv[1:]))
