"""Fetches the adapter that it is told of, as a worker does, and says where it is; with ``ANEW`` set, it asks the hub again."""

import json
import os
import sys

from mlxd.errors import MlxdError
from mlxd.worker.fetch.adapter import fetch_adapter

if __name__ == "__main__":
    try:
        said = {"path": str(fetch_adapter(sys.argv[1], anew="ANEW" in os.environ))}
    except MlxdError as error:
        said = {"error": {"code": error.code, "message": error.message}}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.exit("error" in said)
