"""Retrieval tasks: what is ranked against what, chance baselines and the replicate oracle."""
