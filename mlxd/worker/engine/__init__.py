"""Requests, their queue and their order. Pure Python."""
