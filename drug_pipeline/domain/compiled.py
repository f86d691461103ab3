"""Compiled loops: one way to make them, for all floors above."""

import logging
from collections.abc import Callable
from typing import Any

from numba import njit

logger = logging.getLogger(__name__)


def compiled(function: Callable[..., Any]) -> Any:
    """The function compiled, kept on disk where any place for it can be written.

    It holds no lock of Python's while it runs, so that threads run side by side.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError as error:  # numba found no folder that it may write to
        logger.warning("compiled code cannot be kept, each process compiles anew: %s", error)
        return njit(nogil=True)(function)
