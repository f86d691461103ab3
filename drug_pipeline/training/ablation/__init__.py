"""Fits with one input or loss left out: what each is worth, and what gates need."""
