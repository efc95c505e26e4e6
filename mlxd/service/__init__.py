"""Running under a service manager: what systemd is told, and how a start waits for a valid configuration under launchd."""
