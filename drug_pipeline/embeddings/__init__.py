"""Vectors of drugs and cell lines, by key."""
