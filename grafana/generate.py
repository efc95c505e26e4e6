"""Write the dashboards: ``python -m grafana.generate``."""

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.one_model import one_model
from grafana.overview import overview

DIRECTORY = Path(__file__).with_name("dashboards")


def main() -> None:
    """Write each to its file."""
    for name, text in rendered().items():
        (DIRECTORY / name).write_text(text)


def rendered() -> dict[str, str]:
    """The text of each file, by its name."""
    return {f"{dashboard.uid}.json": _render(dashboard) for dashboard in (overview(), one_model())}


def _render(dashboard: Dashboard) -> str:
    plain: Any = json.loads(JSONEncoder().encode(dashboard))
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
