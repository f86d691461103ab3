"""How fast a piece of work goes and how long it still takes, from what it reports of itself.

What belongs here: the clock of one bar. What does not: drawing it (``cli``), or logging it.
"""

import time
from collections.abc import Callable
from typing import Final

SETTLED_SECONDS: Final = 1.0
"""Nothing is foretold before this: the first units carry what starting costs."""


class Pace:
    """The speed of one piece of work; starts anew where the work reports another total.

    Parameters
    ----------
    now
        Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._total: int | None = None
        self._first_done = 0
        self._last_done = 0
        self._started = now()

    def tell(self, done: int, total: int) -> str:
        """Speed and time left in words, such as ``31,200/s, 2 min left``; empty while unknown."""
        now = self._now()
        if total != self._total or done < self._last_done:
            self._total, self._first_done, self._started = total, done, now
        self._last_done = done
        elapsed, n_done = now - self._started, done - self._first_done
        if elapsed < SETTLED_SECONDS or n_done <= 0 or total <= 0:
            return ""
        rate = n_done / elapsed
        left = f"{spoken(max(total - done, 0) / rate)} left"
        return f"{rate:,.0f}/s, {left}" if rate >= 1 else left


def spoken(seconds: float) -> str:
    """A time as people say it: ``40 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
