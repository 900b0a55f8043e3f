"""Penalties: what is added to an objective's loss, whichever it is."""
