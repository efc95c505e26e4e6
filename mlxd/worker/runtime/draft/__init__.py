"""Guesses of a smaller model at what a model is going to sample."""
