"""Retrieval of drugs by measured profiles: plain, centred and whitened cosine similarity."""
