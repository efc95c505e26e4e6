"""Running as a service: what systemd is told, how a start waits for a valid configuration under launchd, limits."""
