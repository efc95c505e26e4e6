"""Where models come from, and whether what came is whole."""
