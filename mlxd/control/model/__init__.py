"""One model: its supervisor, what is wanted of it, and the workers that serve it."""
