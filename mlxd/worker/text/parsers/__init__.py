"""Output parsers: from a model's text to the parts of its answer, one streaming state machine for each shape of output."""
