"""What the requests of every API have in common: how fields are read, tolerated and refused, and what becomes of them."""
