"""The file: schema, loader, and what a change of each field costs."""
