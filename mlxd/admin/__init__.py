"""The administration listener."""
