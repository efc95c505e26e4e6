"""The inference listener."""
