"""The large array of sums: memory that costs nothing before it is used, shared by threads.

What belongs here: the array and who may add to it when. What does not: adding (``kernel.py``).

Shapes: W = groups (well x cell line), G = genes of the panel, S = stripes, 4 = the kinds of sums in
``kernel.py``.
"""

import contextlib
import math
import mmap
import threading
import uuid
from typing import Final
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

MAX_STRIPES: Final = 64
"""Parts of the array that one thread at a time adds to."""


class Sums:
    """The sums of some groups, which several threads may add to at once.

    Threads take turns over a stripe of its rows, so that they need neither an array each nor a
    merge. Its memory is touched by whoever adds first. A copy made by pickling is the same object:
    it does not leave its process.

    Parameters
    ----------
    n_groups, n_genes
        W and G; W x G x 32 bytes.
    """

    def __init__(self, n_groups: int, n_genes: int) -> None:
        self.sums_WG4 = zeros_untouched((n_groups, n_genes, 4))
        n_stripes = max(1, min(MAX_STRIPES, n_groups))
        self.first_group_S = np.linspace(0, n_groups, n_stripes + 1).astype(np.int64)
        self.locks = [threading.Lock() for _ in range(n_stripes)]
        self._key = uuid.uuid4().hex
        _alive[self._key] = self

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _of_this_process, (self._key,)


_alive: "WeakValueDictionary[str, Sums]" = WeakValueDictionary()


def _of_this_process(key: str) -> Sums:
    return _alive[key]


def zeros_untouched(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Zeros that cost nothing before they are touched, then in huge pages where there are any.

    Not np.zeros, which gets no huge pages (the first touch of 1.5 GB then takes five times as
    long), nor np.empty, which has to be filled: one thread then touches all of it.
    """
    n_values = math.prod(shape)
    if not n_values:
        return np.zeros(shape, dtype=np.int64)
    memory = mmap.mmap(-1, 8 * n_values)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # an operating system without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype=np.int64).reshape(shape)
