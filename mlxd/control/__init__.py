"""Desired and actual state of the models: who runs, who is restarted, who may be asked."""
