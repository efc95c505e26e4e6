"""The panels, by subject. Both dashboards choose among them."""
