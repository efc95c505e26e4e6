"""A picture of the dashboard without Grafana, and a daemon with something to show."""
