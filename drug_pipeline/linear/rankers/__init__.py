"""Drugs found by measured profiles: plain, centred and whitened cosines."""
