"""Keys and values in 8 bits an element: how they are stored, computed with, and proved to be good enough."""
