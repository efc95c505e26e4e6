"""The ways to attend over paged keys and values, behind one interface, and the arrays they work with."""
