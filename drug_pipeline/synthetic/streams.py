"""Random streams by name, so that no part of the generator depends on how much another part drew."""

import zlib

import numpy as np


def stream(seed: int, *names: str) -> np.random.Generator:
    """The generator of one named part; the same seed and names give the same numbers."""
    keys = [zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng([seed, *keys])
