"""Endpoints that make vectors and scores of texts."""
