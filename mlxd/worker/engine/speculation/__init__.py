"""Several tokens of a sequence in one step: guesses, and how many of them pay."""
