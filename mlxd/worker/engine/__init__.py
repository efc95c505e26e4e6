"""Requests, their queue and their order, in pure Python."""
