"""A worker whose model says what a script has it say; templates, parsers, scheduler and cache are the real ones."""
