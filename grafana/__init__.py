"""The dashboards, and what writes them: ``python -m grafana.generate``."""
